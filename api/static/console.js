/* Everything here only improves on what the plain pages do. */
"use strict";

/* Moments in the reader's own time; the exact one stays in the title. */
function localTimes(root) {
  for (const each of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (!Number.isNaN(moment.valueOf())) {
      each.title = each.textContent;
      each.textContent = moment.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    }
  }
}

/* A part of the page that changes by itself is loaded anew, until it no longer says so. */
async function refresh(part) {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(part.id);
    if (fresh && part.innerHTML !== fresh.innerHTML) {
      localTimes(fresh);
      part.replaceChildren(...fresh.childNodes);
    }
    if (!fresh || !fresh.dataset.refreshS) {
      part.removeAttribute("data-refresh-s");
      return;
    }
  } catch {
    /* The server may be starting again: try later. */
  }
  refreshLater(part);
}

function refreshLater(part) {
  setTimeout(refresh, Number(part.dataset.refreshS) * 1000, part);
}

localTimes(document);
document.querySelectorAll("[data-refresh-s]").forEach(refreshLater);
document.querySelectorAll("[data-unscripted]").forEach((each) => { each.hidden = true; });
document.querySelectorAll("[data-submit]").forEach((each) => {
  each.addEventListener("change", () => each.form.requestSubmit());
});
/* The place of this page in a navigation that scrolls. (scrollIntoView would have the keyboard begin there.) */
const pages = document.querySelector(".pages");
const current = pages?.querySelector("[aria-current]");
if (current) {
  pages.scrollLeft += current.getBoundingClientRect().left + current.offsetWidth / 2 - pages.clientWidth / 2;
}
document.getElementById("errors")?.focus();

for (const each of document.querySelectorAll("[data-scripted]")) {
  each.hidden = false;
}
for (const all of document.querySelectorAll("[data-all]")) {
  all.addEventListener("change", () => {
    for (const each of all.form.querySelectorAll(`[name="${all.dataset.all}"]`)) {
      each.checked = all.checked;
    }
  });
}

/* One press, one request. */
document.addEventListener("submit", (event) => {
  if (event.target.method !== "post") {
    return;
  }
  if (event.target.dataset.sent) {
    event.preventDefault();
  }
  event.target.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sent]").forEach((each) => { delete each.dataset.sent; });
});
