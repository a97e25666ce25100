// The page of the JWT diagnostics. Everything that a report says is put into the
// document as text; no markup is ever made from it.

const timeLimit = 12_000; // ms; the server gives up after 8 s

const byId = (id) => document.getElementById(id);
const form = byId("form");
const fields = { token: byId("token"), tables: byId("tables"), symptom: byId("symptom") };
const submitButton = byId("submit");
const cancelButton = byId("cancel");
const section = byId("result");
const heading = byId("result-heading");
const statusLine = byId("status");
const output = byId("report");
const announcement = byId("announcement");

// --- text ---------------------------------------------------------------------

// Characters that cannot be seen, or that reorder what can, are shown as escapes.
const unseen = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;

function plain(value) {
  return String(value ?? "").replace(unseen, (c) => {
    const code = c.codePointAt(0);
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

// el makes an element. Attributes that are false or undefined are left out;
// children are elements or text, and what is neither is left out too.
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child instanceof Node) element.append(child);
    else if (child !== undefined && child !== null && child !== "" && child !== false) element.append(plain(child));
  }
  return element;
}

function button(label, attributes, onClick) {
  const element = el("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", onClick);
  return element;
}

const list = (value) => (Array.isArray(value) ? value : []);
const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const say = (text) => { announcement.textContent = text; };

// --- times --------------------------------------------------------------------

const two = (n) => String(n).padStart(2, "0");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

function utc(date) {
  return `${date.toISOString().slice(0, -5).replace("T", " ")} UTC`;
}

function local(date) {
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? "−" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

function distance(date, from) {
  let value = (date - from) / 1000;
  for (const [unit, size, limit] of [["second", 1, 120], ["minute", 60, 7200], ["hour", 3600, 172_800], ["day", 86_400, Infinity]]) {
    if (Math.abs(value) < limit) return relative.format(Math.trunc(value / size), unit);
  }
  return "";
}

// readable says when a moment is, in three ways, or nothing where it is none.
function readable(date, checkedAt) {
  if (Number.isNaN(date.getTime())) return "";
  const parts = [utc(date), `${local(date)} here`];
  if (!Number.isNaN(checkedAt.getTime())) parts.push(distance(date, checkedAt));
  return parts.join(" · ");
}

// --- JSON as it was sent --------------------------------------------------------

// JSON.parse rounds large numbers, drops repeated keys and reorders others. What
// a token says is shown from the text of the answer instead.
const lexeme = /\s*("[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:])/gy;

// sourceOf returns the text of the value at a path of keys, or nothing.
function sourceOf(source, ...path) {
  const keys = [];
  let depth = 0;
  let start = -1;
  let previous = "";
  for (const match of source.matchAll(lexeme)) {
    const text = match[1];
    const end = match.index + match[0].length;
    if (text === ":") {
      keys[depth - 1] = JSON.parse(previous);
    } else if (start < 0 && previous === ":" && depth === path.length && path.every((key, i) => keys[i] === key)) {
      if (text !== "{" && text !== "[") return text;
      start = end - 1;
    }
    if (text === "{" || text === "[") depth++;
    if (text === "}" || text === "]") {
      depth--;
      if (start >= 0 && depth === path.length) return source.slice(start, end);
    }
    previous = text;
  }
  return "";
}

// laidOut returns nodes that show JSON one value to a line, with the times among
// the outermost claims in words.
function laidOut(source, checkedAt) {
  const nodes = [];
  let line = "";
  let depth = 0;
  let key = "";
  const texts = [...source.matchAll(lexeme)].map((match) => match[1]);
  const flush = (...more) => {
    if (line) nodes.push(document.createTextNode(line));
    line = "";
    nodes.push(...more);
  };
  // Deeper than this, more space at the left helps nobody.
  const newLine = () => `\n${"  ".repeat(Math.min(depth, 16))}`;
  texts.forEach((text, i) => {
    const next = texts[i + 1];
    switch (text) {
      case "{":
      case "[":
        depth++;
        line += text + (next === "}" || next === "]" ? "" : newLine());
        return;
      case "}":
      case "]": {
        depth--;
        const before = texts[i - 1];
        line += (before === "{" || before === "[" ? "" : newLine()) + text;
        return;
      }
      case ",":
        line += text;
        if (depth === 1 && ["exp", "iat", "nbf"].includes(key)) annotate(texts[i - 1]);
        line += newLine();
        return;
      case ":":
        line += ": ";
        return;
      default: {
        const shown = text.startsWith('"') ? plain(JSON.stringify(JSON.parse(text))) : text;
        if (next === ":") {
          key = depth === 1 ? JSON.parse(text) : key;
          flush(el("span", { class: "key" }, shown));
        } else {
          line += shown;
          if (next === "}" && depth === 1 && ["exp", "iat", "nbf"].includes(key)) annotate(text);
        }
      }
    }
  });
  flush();
  return nodes;

  function annotate(number) {
    const when = /^-?\d/.test(number) ? readable(new Date(Number(number) * 1000), checkedAt) : "";
    if (when) flush(el("span", { class: "when" }, `  ${when}`));
  }
}

// --- parts of the result --------------------------------------------------------

const statuses = {
  fail: { word: "Failed", many: "failed", symbol: "✕", tone: "fail", rank: 0 },
  warn: { word: "Warning", many: "with a warning", symbol: "!", tone: "warn", rank: 1 },
  skip: { word: "Not checked", many: "not checked", symbol: "–", tone: "skip", rank: 2 },
  pass: { word: "Passed", many: "passed", symbol: "✓", tone: "pass", rank: 3 },
};
const outcomes = {
  accepted: { word: "Accepted", symbol: "✓", tone: "pass" },
  refused: { word: "Refused", symbol: "✕", tone: "fail" },
  unknown: { word: "Uncertain", symbol: "?", tone: "warn" },
};
const likelihoods = {
  confirmed: { word: "Confirmed", symbol: "●", tone: "fail" },
  likely: { word: "Likely", symbol: "◕", tone: "warn" },
  possible: { word: "Possible", symbol: "◑", tone: "warn" },
  ruled_out: { word: "Ruled out", symbol: "○", tone: "skip" },
};

const known = (table, name) => (Object.hasOwn(table, name) ? table[name] : { word: String(name || "?").slice(0, 40), symbol: "?", tone: "skip", rank: 2 });

// badge is a status as symbol, word and colour.
function badge({ word, symbol, tone }) {
  return el("span", { class: `badge ${tone}` }, el("span", { class: "symbol", "aria-hidden": "true" }, symbol), el("span", { class: "word" }, word));
}

const areas = [
  { title: "Form and header", prefixes: ["token", "header"] },
  { title: "Keys and signature", prefixes: ["jwks", "signature", "key"] },
  { title: "Claims", prefixes: ["claim"] },
  { title: "Supabase", prefixes: ["supabase"] },
  { title: "Database and copy", prefixes: ["database", "mirror"] },
  { title: "Tables", prefixes: ["rls"] },
];

function part(title, ...children) {
  const id = `part-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return el("section", { class: "part", "aria-labelledby": id }, el("h3", { id }, title), ...children);
}

// toFinding is a link to the finding with an id; none where there is none.
function toFinding(report, id) {
  if (!id || !list(report.findings).some((f) => f.id === id)) return undefined;
  return button(["See ", el("code", {}, id)], { class: "link" }, () => {
    const target = [...output.querySelectorAll("details.finding")].find((d) => d.dataset.id === id);
    if (target.closest("[hidden]")) {
      const filter = byId("only-problems");
      filter.checked = false;
      filter.dispatchEvent(new Event("change"));
    }
    target.open = true;
    target.querySelector("summary").focus();
    target.scrollIntoView({ block: "center" });
  });
}

function verdict(report, name, question, v) {
  const outcome = known(outcomes, v.outcome);
  const answer = [v.status ? `HTTP ${v.status}` : "", v.code].filter(Boolean).join(" ");
  return el("article", { class: `verdict ${outcome.tone}` },
    el("h4", {}, name),
    el("p", { class: "question" }, question),
    el("p", { class: "outcome" }, badge(outcome), v.role && [" as ", el("code", {}, v.role)]),
    (answer || v.message) && el("p", { class: "answer" }, answer && el("code", {}, answer), answer && v.message && " ", v.message && el("span", {}, `“${plain(v.message)}”`)),
    v.because && el("p", { class: "because" }, v.because),
    toFinding(report, v.finding),
  );
}

function verdicts(report) {
  const { clerk = {}, supabase = {} } = report.verdicts ?? {};
  return part("Verdicts", el("div", { class: "verdicts" },
    verdict(report, "Clerk", "What Clerk’s verifier says, in a backend of yours", clerk),
    verdict(report, "Supabase", "What the project’s Data API says", supabase),
  ));
}

// copyable is text in a box of its own with a button that copies it.
function copyable(label, text) {
  const shown = plain(text);
  const box = el("pre", {}, shown);
  const copy = button("Copy", { class: "copy", "aria-label": `Copy: ${label}` }, async () => {
    const how = (await copied(shown, box)) ? "Copied" : "Selected: press Ctrl or ⌘ with C";
    copy.textContent = how;
    say(how);
    setTimeout(() => { copy.textContent = "Copy"; }, 2500);
  });
  return el("div", { class: "remedy" }, el("p", { class: "label" }, label, copy), box);
}

// copied reports whether text is in the clipboard. Where a page may not write
// there, the text is at least selected.
async function copied(text, box) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(box);
    return document.execCommand("copy");
  }
}

function paragraphs(text, attributes) {
  return plain(text).split(/\n{2,}/).filter((p) => p.trim()).map((p) => el("p", attributes, p));
}

function finding(f, cause) {
  const status = known(statuses, f.status);
  const named = String(f.id).endsWith(`.${f.object}`); // the id says it already
  const first = f.id === cause && f.status === "fail";
  const summary = [
    badge(status),
    el("span", { class: "what" },
      el("span", { class: "title" }, f.title || f.id),
      el("span", { class: "id" }, el("code", {}, f.id), f.object && !named && [" ", el("code", {}, f.object)], first && el("strong", { class: "first" }, "first cause")),
    ),
  ];
  return el("details", { class: `finding ${status.tone}`, "data-id": f.id, "data-status": f.status, open: f.status === "fail" },
    el("summary", {}, ...summary),
    el("div", { class: "body" },
      paragraphs(f.detail),
      f.remedy && copyable("What to do", f.remedy),
      !f.detail && !f.remedy && el("p", { class: "muted" }, "Nothing more to say."),
    ),
  );
}

let onlyProblems = false;

function findings(report) {
  const all = list(report.findings);
  const of = (prefixes) => all.filter((f) => prefixes.includes(String(f.id).split(".")[0]));
  const groups = areas.map((area) => ({ title: area.title, findings: of(area.prefixes) }));
  const grouped = new Set(groups.flatMap((group) => group.findings));
  groups.push({ title: "Others", findings: all.filter((f) => !grouped.has(f)) });

  const count = (status) => all.filter((f) => f.status === status).length;
  const counts = ["fail", "warn", "pass", "skip"].filter((status) => count(status) > 0)
    .map((status) => el("li", {}, badge({ ...statuses[status], word: `${count(status)} ${statuses[status].many}` })));

  const shown = el("p", { class: "shown", role: "status" });
  const filter = el("input", { type: "checkbox", id: "only-problems" });
  filter.checked = onlyProblems;
  const articles = groups.filter((group) => group.findings.length > 0).map((group) => {
    const sorted = [...group.findings].sort((a, b) => known(statuses, a.status).rank - known(statuses, b.status).rank);
    return el("div", { class: "group" }, el("h4", {}, group.title), ...sorted.map((f) => finding(f, report.cause)));
  });
  const apply = () => {
    onlyProblems = filter.checked;
    let visible = 0;
    for (const article of articles) {
      const details = [...article.querySelectorAll("details.finding")];
      for (const d of details) d.hidden = onlyProblems && d.dataset.status !== "fail" && d.dataset.status !== "warn";
      article.hidden = details.every((d) => d.hidden);
      visible += details.filter((d) => !d.hidden).length;
    }
    shown.textContent = onlyProblems ? (visible === 0 ? "There are no problems." : `${visible} of ${all.length} shown`) : "";
  };
  filter.addEventListener("change", apply);
  apply();
  return part("Findings",
    el("div", { class: "toolbar" }, el("ul", { class: "counts" }, ...counts), el("label", { class: "filter" }, filter, "Only problems")),
    shown, ...articles,
  );
}

// table is a table that becomes a list of blocks where it is narrow; the roles
// keep it a table for those who do not see it.
function table(caption, columns, rows) {
  return el("table", { role: "table" },
    el("caption", {}, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns.map((column) => el("th", { scope: "col", role: "columnheader" }, column)))),
    el("tbody", { role: "rowgroup" }, ...rows.map((cells) => el("tr", { role: "row" }, ...cells.map((cell, i) => (i === 0
      ? el("th", { scope: "row", role: "rowheader" }, cell)
      : el("td", { role: "cell" }, el("span", { class: "column", "aria-hidden": "true" }, columns[i]), el("div", {}, cell))))))),
  );
}

function surfaces(report) {
  const rows = list(report.surfaces).map((s) => [s.title || s.name, badge(known(outcomes, s.outcome)), s.detail]);
  return rows.length > 0 && part("Parts of Supabase", table("What each part of Supabase does with this token", ["Part", "Outcome", "Why"], rows));
}

const decisions = {
  policy: "Policies",
  no_policy: "Row level security without a policy that applies",
  rls_off: "Nothing: row level security is off",
  view: "What the view reads",
  grant: "A missing grant",
  not_found: "There is no such table",
  error: "An error",
  timeout: "It took too long",
};

const number = (n) => Number(n).toLocaleString("en");

function visibleRows(t) {
  if (["grant", "not_found", "error", "timeout"].includes(t.decision)) return el("span", { class: "muted" }, "could not be read");
  let of = "; how many there are was never counted";
  if (typeof t.total === "number") of = ` of ${t.total_more ? "more than " : ""}${number(t.total)}`;
  else if (t.estimate >= 0) of = ` of about ${number(t.estimate)}`;
  return [el("strong", { class: "number" }, (t.more ? "more than " : "") + number(t.visible ?? 0)), of];
}

function policyValue(v) {
  if (v.code) return ["fails with ", el("code", {}, v.code)];
  if (v.withheld) return v.value ?? "not shown";
  if (v.value === null || v.value === undefined) return [el("code", {}, "NULL"), ", which matches no row"];
  return el("code", {}, v.value === "" ? "''" : v.value);
}

function policy(p) {
  const passes = p.passes >= 0 ? `; ${plural(Number(p.passes), "visible row passes", "visible rows pass")}` : "";
  return el("li", {},
    el("p", {}, el("code", {}, p.name), ` ${p.permissive ? "permits" : "restricts"}${passes}`),
    p.using && el("pre", {}, p.using),
    list(p.values).length > 0 && el("dl", { class: "values" }, ...list(p.values).map((v) => [el("dt", {}, el("code", {}, v.expression)), el("dd", {}, policyValue(v))])),
  );
}

function tables(report) {
  const rows = list(report.tables).map((t) => [
    el("code", {}, t.name),
    visibleRows(t),
    [
      el("p", { class: "decision" }, Object.hasOwn(decisions, t.decision) ? decisions[t.decision] : t.decision),
      t.detail && el("p", {}, t.detail),
      (t.code || t.message) && el("p", { class: "answer" }, t.code && el("code", {}, t.code), " ", t.message && `“${plain(t.message)}”`),
      list(t.policies).length > 0 && el("ul", { class: "policies" }, ...list(t.policies).map(policy)),
    ],
  ]);
  return rows.length > 0 && part("Visible rows", table("What the token’s user sees of each table", ["Table", "Rows", "Decided by"], rows));
}

function cause(report, c) {
  const likelihood = known(likelihoods, c.likelihood);
  return el("li", {},
    el("p", { class: "cause" }, badge(likelihood), el("span", { class: "title" }, c.title || c.id)),
    paragraphs(c.detail),
    c.likelihood !== "ruled_out" && c.remedy && copyable("What to do", c.remedy),
    toFinding(report, c.finding),
  );
}

function causes(report, asked) {
  const all = list(report.causes);
  const title = "Causes of the symptom";
  if (all.length === 0) return asked && part(title, el("p", {}, "Nothing is known about this symptom. The findings below hold all the same."));
  const out = all.filter((c) => c.likelihood === "ruled_out");
  const left = all.filter((c) => c.likelihood !== "ruled_out");
  return part(title,
    left.length > 0 ? el("ol", { class: "causes" }, ...left.map((c) => cause(report, c))) : el("p", {}, "What is known to cause it is ruled out for this token."),
    out.length > 0 && el("details", { class: "out" },
      el("summary", {}, el("span", { class: "title" }, `${plural(out.length, "cause is", "causes are")} ruled out`)),
      el("ol", { class: "causes" }, ...out.map((c) => cause(report, c))),
    ),
  );
}

function tokenPart(report, source) {
  const token = report.token ?? {};
  const checkedAt = new Date(report.checked_at ?? NaN);
  const facts = [];
  const fact = (name, value) => { if (value) facts.push(el("dt", {}, name), el("dd", {}, value)); };
  fact("Kind", token.name || token.kind);
  fact("Issued", token.issued_at && readable(new Date(token.issued_at), checkedAt));
  fact("Expires", token.expires_at && readable(new Date(token.expires_at), checkedAt));
  fact("Permissions", list(token.permissions).length > 0 && el("ul", { class: "permissions" }, ...list(token.permissions).map((p) => el("li", {}, el("code", {}, p)))));
  fact("Checked", readable(checkedAt, new Date(NaN)));
  const json = (title, key) => {
    const text = sourceOf(source, "token", key);
    return text && text !== "null" && [el("h4", {}, title), el("pre", { class: "json", tabindex: "0", role: "group", "aria-label": title }, laidOut(text, checkedAt))];
  };
  return part("The token", el("dl", { class: "facts" }, ...facts), json("Claims", "claims"), json("Header", "header"));
}

function show(report, source, asked) {
  const worst = ["clerk", "supabase"].map((name) => known(outcomes, report.verdicts?.[name]?.outcome).tone);
  const first = list(report.findings).find((f) => f.id === report.cause);
  if (first) worst.push(known(statuses, first.status).tone); // a token may be right, and what it meets not
  section.dataset.tone = ["fail", "warn", "pass"].find((tone) => worst.includes(tone)) ?? "";
  heading.hidden = false;
  statusLine.textContent = plain(report.sentence || "The report has no sentence.");
  output.replaceChildren(...[
    verdicts(report), causes(report, asked), findings(report), tables(report), surfaces(report), tokenPart(report, source),
  ].filter((node) => node instanceof Node));
  heading.focus();
}

// --- asking ---------------------------------------------------------------------

let running = null;

// tableNames takes a list apart at commas and line breaks, but not within quotes.
function tableNames(text) {
  return (text.match(/(?:"(?:[^"]|"")*"|[^,\n])+/g) ?? []).map((name) => name.trim()).filter(Boolean);
}

class Refusal extends Error {}

async function ask(question, signal) {
  const response = await fetch("jwt", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(question),
    signal,
    cache: "no-store",
    redirect: "error", // a token does not go where an answer points
    referrerPolicy: "no-referrer",
  }).catch((error) => {
    throw error instanceof TypeError ? new Refusal("The server could not be reached. Is it running, and are you online?") : error;
  });
  const source = await response.text();
  let content;
  try {
    content = JSON.parse(source);
  } catch {
    content = null;
  }
  if (response.ok && content?.verdicts) return { report: content, source };
  throw new Refusal(refusalText(response, content));
}

function refusalText(response, content) {
  const message = typeof content?.error?.message === "string" ? content.error.message : "";
  switch (content?.error?.code) {
    case "body_too_large":
      return "That is too much to send. A session token has less than 4 KiB: check what was pasted.";
    case "not_configured":
    case "unavailable": {
      const wait = Number(response.headers.get("Retry-After"));
      return message + (wait > 0 ? ` Try again in ${plural(wait, "second", "seconds")}.` : "");
    }
  }
  if (message) return message;
  if (response.status === 401 || response.status === 403) return `The server does not let this page ask (${response.status}).`;
  return `The server answered ${response.status} with something that is no report. Is there a proxy in between?`;
}

async function diagnose() {
  if (running) return;
  if (!fields.token.value.trim()) {
    fields.token.setAttribute("aria-invalid", "true");
    fail("Paste a token first.");
    fields.token.focus();
    return;
  }
  fields.token.removeAttribute("aria-invalid");
  const question = { token: fields.token.value };
  const names = tableNames(fields.tables.value);
  if (names.length > 0) question.tables = names;
  if (fields.symptom.value.trim()) question.symptom = fields.symptom.value.trim();

  const mine = { controller: new AbortController(), timedOut: false };
  const timer = setTimeout(() => { mine.timedOut = true; mine.controller.abort(); }, timeLimit);
  running = mine;
  reset();
  section.setAttribute("aria-busy", "true");
  submitButton.setAttribute("aria-disabled", "true");
  cancelButton.hidden = false;
  statusLine.textContent = "Checking…";
  try {
    const { report, source } = await ask(question, mine.controller.signal);
    if (running === mine) show(report, source, Boolean(question.symptom));
  } catch (error) {
    if (running !== mine) return; // cleared meanwhile
    if (error instanceof Refusal) fail(error.message);
    else if (mine.timedOut) fail(`There was no answer within ${timeLimit / 1000} seconds. Try again.`);
    else if (mine.controller.signal.aborted) fail("Cancelled.");
    else fail("The report could not be shown.");
  } finally {
    clearTimeout(timer);
    if (running === mine) idle();
  }
}

function idle() {
  running = null;
  section.removeAttribute("aria-busy");
  submitButton.removeAttribute("aria-disabled");
  if (document.activeElement === cancelButton) submitButton.focus();
  cancelButton.hidden = true;
}

function fail(text) {
  reset();
  section.dataset.tone = "error";
  statusLine.textContent = plain(text);
}

// reset forgets the last answer.
function reset() {
  delete section.dataset.tone;
  heading.hidden = true;
  statusLine.textContent = "";
  announcement.textContent = "";
  output.replaceChildren();
}

// forget empties the page: whoever comes back to it finds nothing.
function forget() {
  running?.controller.abort();
  idle();
  for (const field of Object.values(fields)) field.value = "";
  fields.token.removeAttribute("aria-invalid");
  reset();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  diagnose();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
    event.preventDefault();
    diagnose();
  }
});
cancelButton.addEventListener("click", () => running?.controller.abort());
addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.controller.abort();
});
byId("clear").addEventListener("click", () => {
  forget();
  say("Cleared.");
  fields.token.focus();
});
addEventListener("pagehide", forget);

// Paper shows what is folded away too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...output.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
  folded = [];
});

form.hidden = false;
