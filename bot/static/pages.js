// Looks again at the page that is open, in place: what somebody has typed, unfolded, selected or focused stays as it is.
"use strict";

const content = document.getElementById("main");
const notice = document.getElementById("stale");
let seen = new Date();
let aimed = 0;

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || node.getAttribute("aria-labelledby") || "" : "");
const isSame = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
const isInHand = (node) =>
  node.nodeType === Node.ELEMENT_NODE &&
  [...node.querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== "" || field === document.activeElement);

/** The node of the page that shows what `fresh` shows: the next one, or, where it has a key, the one with that key. */
function counterpart(next, fresh) {
  if (!keyOf(fresh)) return next && isSame(next, fresh) ? next : null;
  let found = next;
  while (found && !isSame(found, fresh)) found = found.nextSibling;
  return found;
}

/** Takes away what is not shown any more, up to `end`; a form that somebody is filling in stays. */
function clear(from, end) {
  while (from !== end) {
    const next = from.nextSibling;
    if (!isInHand(from)) from.remove();
    from = next;
  }
}

/** Makes `old` show what `fresh` shows. Whether something is unfolded is the reader's. */
function update(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  let next = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const found = counterpart(next, node);
    if (found) {
      clear(next, found);
      update(found, node);
      next = found.nextSibling;
    } else {
      old.insertBefore(node, next);
    }
  }
  clear(next, null);
}

function say(text) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = text === "";
}

/** Whether somebody is about to press a button, which must not move away from under the pointer. */
const isAiming = () => Date.now() - aimed < 1000;

const lookAgain = "Plumbline is asked again by itself.";

async function look() {
  if (document.hidden || !content.dataset.again) return;
  const asked = new Date();
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout?.(10000) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh) throw new TypeError("not a page of ours");
    while (isAiming()) await new Promise((done) => setTimeout(done, 200));
    if (asked < seen) return; // two looks passed each other: what is shown is newer
    const isAway = answer.status >= 500 && page.title !== document.title;
    const isElsewhere = answer.redirected || !answer.ok;
    if (isAway) {
      say(`As seen at ${seen.toLocaleTimeString()}. Since then: ${page.title}. ${lookAgain}`);
    } else if (isElsewhere && isInHand(content)) {
      say(`As seen at ${seen.toLocaleTimeString()}. Since then: ${page.title}. What you have written is kept.`);
    } else if (answer.redirected) {
      location.reload();
    } else {
      document.title = page.title;
      update(content, fresh);
      seen = asked;
      say("");
    }
  } catch {
    if (asked < seen) return;
    say(`As seen at ${seen.toLocaleTimeString()}. Since then Plumbline does not answer. ${lookAgain}`);
  }
}

const seconds = () => Math.min(Number(content.dataset.again) || 60, notice.hidden ? Infinity : 10);

async function goOn() {
  await look();
  setTimeout(goOn, 1000 * seconds());
}

setTimeout(goOn, 1000 * seconds());
document.addEventListener("visibilitychange", look);
document.addEventListener("pointermove", (moved) => {
  if (moved.target.closest("form")) aimed = Date.now();
});
