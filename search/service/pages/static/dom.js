// Elements from words. Text is always set as text, so that no name can become markup.

const SVG = "http://www.w3.org/2000/svg";

// Sets attributes, properties that begin with a dot, and listeners of events (onclick).
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.setAttribute("class", value);
    else if (name.startsWith(".")) element[name.slice(1)] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined
    && child !== false).map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const byId = (id) => document.getElementById(id);

export function show(element, is_shown) {
  if (element) element.hidden = !is_shown;
}

// Replaces the children of an element, unless they would be the same text again.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child || child === 0));
}

// Makes nodes the children of an element in their order, and touches none that is there already.
export function patch(element, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...element.childNodes]) if (!wanted.has(child)) child.remove();
  let next = element.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else element.insertBefore(node, next);
  }
}

// Calls a function at most once per frame of the screen.
export function eachFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
}

// Calls a function when the next frame of the screen has been drawn.
export function afterFrame(call) {
  requestAnimationFrame(() => setTimeout(call));
}

// Calls a function when a person has paused.
export function afterPause(call, pause_ms = 150) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), pause_ms);
  };
}

const still = matchMedia("(prefers-reduced-motion: reduce)");
export const isStill = () => still.matches;
