// The login: a link with a token behind the number sign, or the form.

import { UP, page, send } from "./api.js";
import { byId } from "./dom.js";
import { begin, complain } from "./shell.js";

begin();
const form = byId("login"), problem = byId("login-problem"), field = byId("token");

// The page of this service that led here, with its part behind the number sign; the list for none.
function target() {
  const to = new URLSearchParams(location.search).get("to");
  const found = new URL(to ?? "", UP);
  if (to && !found.hash) found.hash = location.hash;
  return found.href.startsWith(UP.href) ? found.href : UP.href;
}

async function login(token) {
  problem.hidden = true;
  try {
    await send("POST", page("login"), { token });
    location.replace(target());
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
  // Of a page that led here, a browser keeps what is behind its number sign.
  if (new URLSearchParams(location.search).has("to")) return false;
  const token = location.hash.slice(1); // letters of which none has to be written in another way
  if (!token) return false;
  history.replaceState(null, "", location.pathname); // out of the history and of screenshots
  login(token);
  return true;
}

addEventListener("hashchange", takeLink);
if (!takeLink()) field.focus();
