// The login: a link with a token behind the number sign, or the form.

import { page, send } from "./api.js";
import { byId } from "./dom.js";
import { begin, complain } from "./shell.js";

begin();
const form = byId("login"), problem = byId("login-problem"), field = byId("token");

async function login(token) {
  problem.hidden = true;
  try {
    await send("POST", page("login"), { token });
    location.replace(page("./"));
  } catch (error) {
    complain(error, problem);
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  login(field.value.trim());
});

// A link may also be opened where this page is open already.
function takeLink() {
  const token = decodeURIComponent(location.hash.slice(1));
  if (!token) return false;
  history.replaceState(null, "", location.pathname); // out of the history and of screenshots
  login(token);
  return true;
}

addEventListener("hashchange", takeLink);
if (!takeLink()) field.focus();
