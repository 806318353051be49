// Elements of the page.

/** The element with this id. */
export const at = (id) => document.getElementById(id);

/** Creates an element with properties and children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

/** Changes the text of an element, if it is another one. */
export function write(target, words) {
  if (target.textContent !== words) target.textContent = words;
}

/** Gives a list this number of children. Those that it has are kept, which is faster than new ones. */
export function resize(list, count, create) {
  while (list.childElementCount > count) list.lastElementChild.remove();
  while (list.childElementCount < count) list.append(create());
  return Array.from(list.children);
}
