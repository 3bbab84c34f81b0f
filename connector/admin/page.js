// Asks for the page anew every few seconds and puts in place what has changed.
// Without this script the browser loads the whole page again instead.
"use strict";

const every = 2000;
const stale = document.getElementById("stale");

function update(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const now = fresh.getElementById(part.id);
    if (now && now.innerHTML !== part.innerHTML) {
      part.replaceChildren(...now.childNodes);
    }
  }
  document.title = fresh.title;
  document.documentElement.dataset.level = fresh.documentElement.dataset.level;
}

async function refresh() {
  if (document.hidden) {
    return;
  }
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(text);
    }
    update(new DOMParser().parseFromString(text, "text/html"));
    stale.hidden = true;
  } catch (error) {
    stale.textContent = "The connector does not answer; the page shows what it said last. (" + error.message.trim() + ")";
    stale.hidden = false;
  }
}

async function follow() {
  await refresh();
  setTimeout(follow, every);
}

document.addEventListener("visibilitychange", refresh);
setTimeout(follow, every);
