/* Examples of a run. Text arrives in shards: classic scripts that call R2D.shard(key, rows), since fetch fails on
   pages opened from disk. All of it is untrusted and reaches the page through textContent only. */
(function () {
  "use strict";
  var PAGE = 100;
  var rows = [];
  var waiting = null;

  /* State in the address, as key=value&key=value. A plain #anchor is no state. */
  function read() {
    var text = location.hash.slice(1);
    return new URLSearchParams(text.indexOf("=") < 0 ? "" : text);
  }

  function write(key, value) {
    var state = read();
    if (value === null || value === "") { state.delete(key); } else { state.set(key, value); }
    var text = state.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  }

  window.R2D = {
    hash: { get: function (key) { return read().get(key); }, set: write },
    element: element,
    shard: function (key, part) {
      if (waiting && waiting.key === key) { waiting.rows = part; }
    }
  };

  function element(name, className, text) {
    var node = document.createElement(name);
    if (className) { node.className = className; }
    if (text !== undefined && text !== null) { node.textContent = text; }
    return node;
  }

  function load(run, number, done) {
    var name = ("00" + number).slice(-3);
    if (number > 999) { name = String(number); }
    var script = document.createElement("script");
    waiting = { key: run + "/" + name, rows: null };
    script.src = "../data/" + encodeURIComponent(run) + "/" + name + ".js";
    script.onload = script.onerror = function () {
      var part = waiting.rows;
      waiting = null;
      script.remove();
      done(part);
    };
    document.head.appendChild(script);
  }

  function fits(filter, row) {
    if (filter === "all") { return true; }
    if (filter === "poor") { return row.poor; }
    if (filter === "wrong") { return row.state === "wrong" || row.state === "unparsed"; }
    return row.state === filter;
  }

  var WORDS = { right: "right", wrong: "wrong", unparsed: "no valid label", unscored: "unscored" };

  function block(parent, title, text, empty) {
    if (text === null || text === undefined) { return; }
    var part = element("div", "part");
    part.appendChild(element("h3", "", title));
    part.appendChild(text === "" ? element("p", "none", empty || "(empty)") : element("pre", "", text));
    parent.appendChild(part);
  }

  function verdict(parent, judge) {
    var part = element("div", "verdict");
    part.appendChild(element("h3", "", "Judge " + judge.title));
    if (judge.unscored) { part.appendChild(element("p", "note", "No verdict: " + judge.unscored)); }
    if (judge.by_rule) { part.appendChild(element("p", "note", "By rule: no call was needed")); }
    if (judge.explanation) { part.appendChild(element("pre", "", judge.explanation)); }
    if (judge.flags.length) { part.appendChild(element("p", "care", "Flags: " + judge.flags.join(", "))); }
    if (judge.suspects.length) {
      part.appendChild(element("p", "note", "Looks like an attempt to move the judge: " + judge.suspects.join(", ")));
    }
    if (judge.scores.length) {
      var list = element("dl", "facts values");
      judge.scores.forEach(function (pair) {
        list.appendChild(element("dt", "", pair[0]));
        list.appendChild(element("dd", "", pair[1]));
      });
      part.appendChild(list);
    }
    parent.appendChild(part);
  }

  function body(row) {
    var box = element("div", "body");
    block(box, "Input", row.input);
    var outputs = element("div", "pair");
    row.outputs.forEach(function (output) {
      block(outputs, "Thinking, stage " + output.stage, output.thinking);
      block(outputs, "Raw output, stage " + output.stage + " (" + output.finish + ")", output.text);
    });
    box.appendChild(outputs);
    var rationales = element("div", "pair");
    block(rationales, "Gold rationale", row.reference);
    block(rationales, "Rationale (" + row.rationale_status + ")", row.rationale);
    box.appendChild(rationales);
    if (row.cut.length) { box.appendChild(element("p", "note", "Cut to length: " + row.cut.join(", "))); }
    row.judged.forEach(function (judge) { verdict(box, judge); });
    if (row.metrics.length) {
      var list = element("dl", "facts values");
      row.metrics.forEach(function (pair) {
        list.appendChild(element("dt", "", pair[0]));
        list.appendChild(element("dd", "", pair[1]));
      });
      box.appendChild(list);
    }
    return box;
  }

  function example(row, open) {
    var details = element("details", "example " + row.state);
    details.open = open;
    var summary = element("summary");
    summary.appendChild(element("code", "", row.id));
    summary.appendChild(element("span", "state", WORDS[row.state]));
    var labels = element("span", "labels", "gold ");
    labels.appendChild(element("b", "", row.gold === null ? "–" : row.gold));
    labels.appendChild(document.createTextNode(", label "));
    labels.appendChild(element("b", "", row.label === null ? "–" : row.label));
    if (row.status && row.status !== "parsed") { labels.appendChild(document.createTextNode(" (" + row.status + ")")); }
    if (row.unscored) { labels.appendChild(document.createTextNode(" (" + row.unscored + ")")); }
    summary.appendChild(labels);
    summary.appendChild(element("span", "gist", row.input));
    details.appendChild(summary);
    details.appendChild(body(row));
    return details;
  }

  function start(section) {
    var run = section.dataset.run;
    var shards = Number(section.dataset.shards);
    var list = section.querySelector(".examples");
    var status = section.querySelector(".status");
    var paging = section.querySelector(".paging");
    var more = section.querySelector("[data-action=more]");
    var back = section.querySelector("[data-action=back]");
    var opener = section.querySelector("[data-action=open]");
    var buttons = Array.prototype.slice.call(section.querySelectorAll("[data-filter]"));
    var filter = "all", first = 0, loaded = 0, busy = false, failed = false, open = false;

    function total() {
      return Number(buttons.filter(function (b) { return b.dataset.filter === filter; })[0].dataset.count);
    }

    function show() {
      var chosen = rows.filter(function (row) { return fits(filter, row); });
      // Shards are read only as far as the page at hand needs them.
      if (chosen.length < first + PAGE && loaded < shards && !failed) {
        status.textContent = "Loading…";
        if (busy) { return; }
        busy = true;
        load(run, loaded, function (part) {
          busy = false;
          if (part === null) { failed = true; } else { rows = rows.concat(part); loaded += 1; }
          show();
        });
        return;
      }
      var page = chosen.slice(first, first + PAGE);
      var last = first + page.length;
      list.replaceChildren.apply(list, page.map(function (row) { return example(row, open); }));
      status.textContent = failed ? "A data file of this page could not be loaded."
        : page.length ? (first + 1) + "–" + last + " of " + total() : "None.";
      paging.hidden = total() <= PAGE;
      more.disabled = last >= total() || failed;
      back.disabled = first === 0;
    }

    function turn(to) {
      first = to;
      show();
      section.scrollIntoView();
    }

    buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        filter = button.dataset.filter;
        first = 0;
        buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b === button)); });
        show();
      });
    });
    opener.addEventListener("click", function () {
      open = !open;
      opener.setAttribute("aria-pressed", String(open));
      list.querySelectorAll("details").forEach(function (details) { details.open = open; });
    });
    more.addEventListener("click", function () { turn(first + PAGE); });
    back.addEventListener("click", function () { turn(Math.max(0, first - PAGE)); });
    section.querySelector(".filters").hidden = false;
    show();
  }

  var section = document.getElementById("examples");
  if (section) { start(section); }
}());
