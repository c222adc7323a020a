/* Find operations by a word, open the one of the address, and send requests as the account that is logged in. */
"use strict";

const operations = [...document.querySelectorAll(".operation")];
const find = document.getElementById("find");

find.addEventListener("input", () => {
  const wanted = find.value.trim().toLowerCase();
  let found = 0;
  for (const each of operations) {
    each.hidden = !each.textContent.toLowerCase().includes(wanted);
    found += each.hidden ? 0 : 1;
  }
  for (const section of document.querySelectorAll("main section")) {
    const own = [...section.querySelectorAll(".operation")];
    section.hidden = own.length > 0 && own.every((each) => each.hidden);
  }
  document.getElementById("found").textContent = wanted ? `${found} of ${operations.length}` : "";
});

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();

function requestOf(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const headers = { Accept: "application/json" };
  for (const input of form.querySelectorAll("input[data-in]")) {
    if (input.dataset.in === "path") {
      path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
    } else if (input.value && input.dataset.in === "query") {
      query.append(input.name, input.value);
    } else if (input.value) {
      headers[input.name] = input.value;
    }
  }
  const options = { method: form.dataset.method, headers };
  const body = form.querySelector("textarea");
  if (body) {
    headers["Content-Type"] = form.querySelector("select").value;
    options.body = body.value;
  }
  return [query.size ? `${path}?${query}` : path, options];
}

function shown(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

for (const form of document.querySelectorAll("form[data-path]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [url, options] = requestOf(form);
    const answer = form.querySelector(".answer");
    answer.hidden = false;
    answer.textContent = "…";
    try {
      const response = await fetch(url, options);
      answer.textContent = `${options.method} ${url}\n${response.status} ${response.statusText}\n\n${shown(await response.text())}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
}
