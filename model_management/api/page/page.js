"use strict";
const REFRESH_MS = 2000;
const SHOWN_DEPLOYMENTS = 20;
const DEPLOYMENT_HEADS = ["Device", "State", "Version", "Reason", "Fetched", "Changed"];
const TONES = { trusted: "good", endorsed: "good", online: "good", committed: "good", done: "good", offline: "warn", waiting: "warn",
  skipped: "warn", rolled_back: "bad", refused: "bad", failed: "bad", conflict: "bad", revoked: "bad", pending: "busy",
  downloading: "busy", verifying: "busy", installing: "busy", testing: "busy", running: "busy" };
const find = (id) => document.getElementById(id);
const shown = new Map();  // What each part showed last, so that nothing is rebuilt under the reader's hands.
const open = new Set();   // Deployments whose devices are shown.
let known = false;        // Whether the newest deployment was opened once.
let timer = 0;           // Of the next refresh.
let skew_ms = 0;          // The hub's clock less this one.

/** An element; children are elements or text, never markup. */
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
const pill = (state) => element("span", { class: "pill " + (TONES[state] || "") }, state.replace("_", " "));

function ago(at_ms) {
  if (!at_ms) return "never";
  const seconds = Math.max(0, Math.round((Date.now() + skew_ms - at_ms) / 1000));
  if (seconds < 60) return seconds < 10 ? "just now" : `${seconds - (seconds % 10)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
const by_name = (a, b) => a.device.localeCompare(b.device, "en", { numeric: true });
const moment = (at_ms) => element("time", { title: new Date(at_ms || 0).toISOString() }, ago(at_ms));
const bytes = (n) => (n < 1e6 ? `${Math.round(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`);

/** Puts `rows` into the element, when what they are made of has changed. */
function show(id, source, rows, columns, nothing) {
  const text = JSON.stringify(source) + Math.floor(Date.now() / 10000);
  if (shown.get(id) === text) return;
  shown.set(id, text);
  const made = rows();
  if (made.length === 0) {
    made.push(columns ? element("tr", {}, element("td", { class: "empty", colspan: columns }, nothing))
      : element("p", { class: "quiet" }, nothing));
  }
  find(id).replaceChildren(...made);
}

async function get(path) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch("/api/v1" + path, { headers: { Authorization: "Bearer " + token } });
  if (answer.status === 401 || answer.status === 403) throw { refused: (await answer.json()).error };
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer.json();
}

function runs(application) {
  if (!application.version) return null;
  return element("div", {}, element("span", { class: "name" }, application.application), " ",
    element("span", { class: "version" }, application.version));
}

function wanted(application) {
  if (!application.wanted && !application.version) return null;
  if (!application.wanted) return element("div", { class: "quiet" }, `${application.application}: to end`);
  const ended = !application.state || application.state === "committed";
  const settled = application.wanted === application.version && ended;
  if (settled) return element("div", { class: "quiet" }, `${application.application} ${application.wanted}`);
  const reason = application.reason ? element("div", { class: "reason" }, application.reason.message) : null;
  return element("div", {}, element("span", { class: "version" }, `${application.application} ${application.wanted} `),
    application.state ? pill(application.state) : pill("pending"), reason);
}

/** What the hub makes of what the device has booted. */
function measured(state) {
  if (!state) return [];
  const reason = state.held || state.reason;
  return [" ", pill(state.verdict === "none" ? "not measured" : state.verdict),
    ...(state.endorsed ? [" ", pill("endorsed")] : []),
    reason ? element("div", { class: "reason" }, reason.message) : null];
}

function device_row(device) {
  const labels = Object.entries(device.labels || {}).filter(([key]) => key !== "name")
    .map(([key, value]) => `${key}=${value}`);
  const applications = device.applications || [];
  const latency = device.infer_p50_ms === undefined ? "–" : `${device.infer_p50_ms.toFixed(1)} ms`;
  return element("tr", {},
    element("td", {}, element("div", { class: "name" }, device.device),
      element("div", { class: "labels" }, labels.join(", "))),
    element("td", {}, pill(device.state), ...measured(device.measured),
      device.conflict ? element("div", { class: "reason" }, device.conflict) : null),
    element("td", {}, moment(device.seen_ms)),
    element("td", {}, ...applications.map(runs)),
    element("td", {}, ...applications.map(wanted)),
    element("td", { class: "number" }, latency));
}

function model_row(model) {
  return element("tr", {},
    element("td", { class: "name" }, model.name),
    element("td", {}, element("div", { class: "versions" },
      ...model.versions.slice(0, 12).map((v) => element("span", {}, v)))),
    element("td", { class: "version" }, model.floor || "–"),
    element("td", { class: "number" }, String(model.devices || 0)));
}

function deployment_device_row(device) {
  const fetched = device.bytes_total ? `${bytes(device.bytes_fetched || 0)} of ${bytes(device.bytes_total)}` : "";
  return element("tr", {},
    element("td", { class: "name" }, device.device),
    element("td", {}, pill(device.state)),
    element("td", { class: "version" }, `${device.before || "nothing"} → ${device.version || "nothing"}`),
    element("td", {}, device.reason ? element("div", { class: "reason" }, device.reason.message) : ""),
    element("td", { class: "number quiet" }, fetched),
    element("td", { class: "number" }, moment(device.changed_ms)));
}

function deployment_block({ summary, devices }) {
  const verbs = { deploy: "", rollback: "rolls back ", removal: "removes " };
  const counts = Object.entries(summary.counts || {})
    .map(([state, count]) => `${count} ${state.replace("_", " ")}`).join(", ");
  const block = element("details", {},
    element("summary", {}, element("span", { class: "quiet" }, summary.deployment),
      element("span", { class: "name" }, `${verbs[summary.kind]}${summary.application} ${summary.version || ""}`),
      element("span", { class: "quiet" }, `on ${summary.selector}`), pill(summary.state),
      element("span", { class: "quiet" }, counts),
      element("span", { class: "quiet push" }, `${summary.created_by}, ${ago(summary.created_ms)}`)),
    element("table", {}, element("thead", {}, element("tr", {}, ...DEPLOYMENT_HEADS.map(
      (head, i) => element("th", i > 3 ? { class: "number" } : {}, head)))),
      element("tbody", {}, ...devices.sort(by_name).map(deployment_device_row))));
  block.open = open.has(summary.deployment);
  block.addEventListener("toggle", () => {
    if (block.open === open.has(summary.deployment)) return;
    block.open ? open.add(summary.deployment) : open.delete(summary.deployment);
  });
  return block;
}

async function refresh() {
  const [status, devices, models, deployments, freeze] = await Promise.all(
    ["/status", "/devices", "/models", `/deployments?limit=${SHOWN_DEPLOYMENTS}`, "/freeze"].map(get));
  const details = await Promise.all(deployments.deployments.map((d) => get(`/deployments/${d.deployment}`)));
  skew_ms = status.time_ms - Date.now();
  if (!known && details.length > 0) {
    known = true;
    open.add(details[0].summary.deployment);
  }
  find("status").textContent = `${status.online} of ${status.devices} devices online · version ${status.version}`;
  find("fleet-count").textContent = status.devices;
  find("model-count").textContent = status.models;
  find("deployment-count").textContent = status.deployments;
  find("frozen").hidden = !freeze.frozen;
  find("frozen").textContent = `The fleet is frozen: no update begins.${freeze.reason ? " " + freeze.reason : ""}`;
  show("fleet", devices, () => devices.devices.sort(by_name).map(device_row), 6,
    "No device has joined yet: verge device enrol NAME");
  show("models", models, () => models.models.map(model_row), 4,
    "No model has been pushed yet: verge model push PACKAGE");
  show("deployments", details, () => details.map(deployment_block), 0,
    "Nothing has been deployed yet: verge deploy MODEL");
  find("content").hidden = false;
  find("leave").hidden = false;
  find("login").hidden = true;
}

function leave(message) {
  clearTimeout(timer);
  sessionStorage.removeItem("token");
  find("content").hidden = find("leave").hidden = true;
  find("login").hidden = false;
  find("refused").textContent = message || "";
  find("status").textContent = "";
  find("token").focus();
}

async function run() {
  clearTimeout(timer);
  if (!sessionStorage.getItem("token")) return leave();
  try {
    if (!document.hidden) await refresh();
  } catch (failure) {
    if (failure.refused) return leave(failure.refused);
    find("status").textContent = "The hub does not answer; trying again …";
  }
  timer = setTimeout(run, REFRESH_MS);
}

find("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", find("token").value.trim());
  find("token").value = "";
  run();
});
find("leave").addEventListener("click", () => leave());
if (location.hash.startsWith("#token=")) {  // The command line opens the page so; what follows '#' is never sent.
  sessionStorage.setItem("token", location.hash.slice(7));
  history.replaceState(null, "", "/");
}
run();
