/* The browser of a run's examples: filters on the indexes in memory, a hundred rows at a time, texts as they are needed.
   Filters and the example that is open stand in the address. Counts on the buttons come with the page. */
(function () {
  "use strict";
  var PAGE = 100;   // rows in the page
  var GISTS = 4;    // shards that are loaded to show how the inputs of a page begin
  var OPEN = 20;    // examples open at the same time: the page stays small
  var element = R2D.element;
  var STATES = { r: "right", w: "wrong", u: "unparsed", n: "unscored" };
  var WORDS = { right: "right", wrong: "wrong", unparsed: "no valid label", unscored: "unscored" };

  function list(nodes) { return Array.prototype.slice.call(nodes); }
  function visible(node) { return !node.closest("[hidden]"); }
  function shard(number) { return ("00" + number).slice(-Math.max(3, String(number).length)); }

  function Browser(section) {
    this.section = section;
    this.table = section.dataset.table;
    this.run = section.dataset.run;
    this.base = document.body.dataset.root + "data/";
    this.list = section.querySelector(".examples");
    this.status = section.querySelector(".status");
    this.paging = section.querySelector(".paging");
    this.more = section.querySelector("[data-action=more]");
    this.back = section.querySelector("[data-action=back]");
    this.buttons = list(section.querySelectorAll("[data-filter]"));
    this.picks = list(section.querySelectorAll("[data-pick]"));
    this.items = null;
    this.mine = null;
    this.rows = [];
    this.first = 0;
    this.opened = [];
  }

  Browser.prototype.start = function () {
    var browser = this;
    this.started = true;
    this.status.textContent = "Loading…";
    this.load("items/index", function (items) {
      browser.load(browser.run + "/index", function (mine) {
        if (!items || !mine) { browser.status.textContent = "A data file of this page could not be loaded."; return; }
        browser.items = items;
        browser.mine = mine;
        browser.sought = items.ids.map(function (id) { return id.toLowerCase(); });
        browser.listen();
        browser.section.querySelector(".browse").hidden = false;
        browser.follow();
      });
    });
  };

  Browser.prototype.load = function (name, callback) { R2D.load(this.base, this.table + "/" + name, callback); };
  Browser.prototype.item = function (row) { return this.mine.items ? this.mine.items[row] : row; };
  Browser.prototype.member = function (row) { return this.items.member ? this.items.member[this.item(row)] : 0; };
  Browser.prototype.label = function (number) { return number < 0 ? "–" : this.items.labels[number]; };

  Browser.prototype.number = function (label) { return label === "" ? null : this.items.labels.indexOf(label); };

  /* Which rows a filter lets through; those of challenge sets stand apart. */
  Browser.prototype.test = function (filter) {
    var browser = this, mine = this.mine, items = this.items;
    var set = filter.indexOf("set:") === 0 ? items.sets.indexOf(filter.slice(4)) + 1 : 0;
    var tests = {
      right: function (row) { return mine.states[row] === "r"; },
      wrong: function (row) { return mine.states[row] === "w" || mine.states[row] === "u"; },
      unparsed: function (row) { return mine.states[row] === "u"; },
      under: function (row) { return mine.states[row] === "w" && mine.labels[row] > items.gold[browser.item(row)]; },
      over: function (row) { return mine.states[row] === "w" && mine.labels[row] < items.gold[browser.item(row)]; },
      differ: function (row) { return items.differ[browser.item(row)] === "1"; },
      poor: function (row) { return mine.poor !== null && mine.poor[row] === "1"; }
    };
    var test = Object.prototype.hasOwnProperty.call(tests, filter) ? tests[filter] : function () { return true; };
    return function (row) { return browser.member(row) === set && test(row); };
  };

  Browser.prototype.choose = function (state) {
    var test = this.test(state.show), gold = this.number(state.gold), said = this.number(state.said);
    var part = state.find.toLowerCase(), rows = [];
    for (var row = 0; row < this.mine.states.length; row += 1) {
      if (test(row) && (gold === null || this.items.gold[this.item(row)] === gold)
          && (said === null || this.mine.labels[row] === said)
          && (part === "" || this.sought[this.item(row)].indexOf(part) >= 0)) { rows.push(row); }
    }
    return rows;
  };

  /* From the address to the page. An example that the filters hide is shown without them. */
  Browser.prototype.follow = function () {
    var browser = this, state = { show: R2D.hash.get("show") || "all", example: R2D.hash.get("example") };
    if (!this.buttons.some(function (button) { return button.dataset.filter === state.show; })) { state.show = "all"; }
    this.picks.forEach(function (pick) {
      pick.value = R2D.hash.get(pick.dataset.pick) || "";
      if (pick.selectedIndex === -1) { pick.value = ""; }
      state[pick.dataset.pick] = pick.value;
    });
    state.gold = state.gold || "";
    state.said = state.said || "";
    this.rows = this.choose(state);
    var row = state.example === null ? -1 : this.find(state.example);
    if (row >= 0 && this.rows.indexOf(row) < 0) {
      var set = this.member(row);
      state = { show: set ? "set:" + this.items.sets[set - 1] : "all", gold: "", said: "", find: "" };
      this.picks.forEach(function (pick) { pick.value = ""; R2D.hash.set(pick.dataset.pick, null); });
      R2D.hash.set("show", state.show === "all" ? null : state.show);
      this.rows = this.choose(state);
    }
    this.buttons.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === state.show));
    });
    this.first = row < 0 ? 0 : Math.floor(this.rows.indexOf(row) / PAGE) * PAGE;
    this.show();
    if (row >= 0) { this.reach(row); }
    if (row < 0 && state.example) { browser.status.textContent = "This run has no example " + state.example + "."; }
  };

  Browser.prototype.find = function (id) {
    var item = this.items.ids.indexOf(id);
    return this.mine.items && item >= 0 ? this.mine.items.indexOf(item) : item;
  };

  /* From a control to the address, and then to the page. */
  Browser.prototype.keep = function (key, value) {
    R2D.hash.set("example", null);
    R2D.hash.set(key, value);
    this.follow();
  };

  Browser.prototype.show = function () {
    var browser = this, page = this.rows.slice(this.first, this.first + PAGE), last = this.first + page.length;
    this.opened = [];
    this.list.replaceChildren.apply(this.list, page.map(function (row) { return browser.entry(row); }));
    this.status.textContent = page.length ? (this.first + 1) + "–" + last + " of " + this.rows.length : "None.";
    this.paging.hidden = this.rows.length <= PAGE;
    this.more.disabled = last >= this.rows.length;
    this.back.disabled = this.first === 0;
    this.gists(page);
  };

  Browser.prototype.entry = function (row) {
    var browser = this, item = this.item(row), state = STATES[this.mine.states[row]];
    var details = element("details", "example " + state), summary = element("summary");
    details.dataset.row = row;
    summary.appendChild(element("code", "", this.items.ids[item]));
    summary.appendChild(element("span", "state", WORDS[state]));
    var labels = element("span", "labels", "gold ");
    labels.appendChild(element("b", "", this.label(this.items.gold[item])));
    labels.appendChild(document.createTextNode(", label "));
    labels.appendChild(element("b", "", this.label(this.mine.labels[row])));
    if (this.member(row)) { labels.appendChild(element("span", "stamp", this.items.sets[this.member(row) - 1])); }
    summary.appendChild(labels);
    summary.appendChild(element("span", "gist"));
    details.appendChild(summary);
    details.addEventListener("toggle", function () { browser.toggled(details); });
    return details;
  };

  /* How the inputs begin, as far as few shards tell. */
  Browser.prototype.gists = function (page) {
    var browser = this, size = this.items.rows;
    var shards = new Set(page.map(function (row) { return Math.floor(browser.item(row) / size); }));
    Array.from(shards).slice(0, GISTS).forEach(function (number) {
      browser.load("items/" + shard(number), function (texts) { browser.fill(number, texts); });
    });
  };

  Browser.prototype.fill = function (number, texts) {
    var browser = this, size = this.items.rows;
    list(this.list.children).forEach(function (details) {
      var item = browser.item(Number(details.dataset.row));
      if (texts && Math.floor(item / size) === number) {
        details.querySelector(".gist").textContent = (texts[item % size].input || "").slice(0, 200);
      }
    });
  };

  /* Opening and closing: the body is made when it is opened, and goes when it is closed. */
  Browser.prototype.toggled = function (details) {
    var id = this.items.ids[this.item(Number(details.dataset.row))];
    var place = this.opened.indexOf(details);
    if (place >= 0) { this.opened.splice(place, 1); }
    if (!details.open) {
      list(details.children).slice(1).forEach(function (child) { child.remove(); });
      if (R2D.hash.get("example") === id) { R2D.hash.set("example", null); }
      return;
    }
    this.opened.push(details);
    if (this.opened.length > OPEN) { this.opened[0].open = false; }
    R2D.hash.set("example", id);
    if (details.children.length === 1) { this.body(details); }
  };

  Browser.prototype.body = function (details) {
    var browser = this, row = Number(details.dataset.row), item = this.item(row), size = this.items.rows;
    var place = element("div", "loading", "Loading…");
    details.appendChild(place);
    this.load("items/" + shard(Math.floor(item / size)), function (texts) {
      browser.load(browser.run + "/" + shard(Math.floor(row / size)), function (answers) {
        if (!texts || !answers) { place.textContent = "A data file of this page could not be loaded."; return; }
        var box = R2D.example(texts[item % size], answers[row % size], browser.mine.metrics);
        box.appendChild(browser.link(browser.items.ids[item]));
        place.replaceWith(box);
      });
    });
  };

  Browser.prototype.link = function (id) {
    var line = element("p", "note"), link = element("a", "", "Permalink"), page = R2D.hash.get("page");
    link.href = "#example=" + encodeURIComponent(id) + (page ? "&page=" + encodeURIComponent(page) : "");
    line.appendChild(link);
    return line;
  };

  Browser.prototype.reach = function (row) {
    var details = this.list.querySelector('details[data-row="' + row + '"]');
    details.open = true;
    details.scrollIntoView();
    details.firstChild.focus({ preventScroll: true });
  };

  Browser.prototype.turn = function (to, place) {
    R2D.hash.set("example", null);
    this.first = to;
    this.show();
    var details = place < 0 ? this.list.lastChild : this.list.firstChild;
    details.firstChild.focus({ preventScroll: true });
    (place < 0 ? details : this.section).scrollIntoView();
  };

  Browser.prototype.step = function (by) {
    var now = document.activeElement.closest("details.example");
    var next = now === null ? this.list.firstChild : by > 0 ? now.nextSibling : now.previousSibling;
    if (next) { next.firstChild.focus(); next.scrollIntoView({ block: "nearest" }); return; }
    if (by > 0 && !this.more.disabled) { this.turn(this.first + PAGE, 0); }
    if (by < 0 && !this.back.disabled) { this.turn(this.first - PAGE, -1); }
  };

  Browser.prototype.pressed = function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select")) { return; }
    var steps = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 };
    var details = event.target.closest("details.example");
    if (Object.prototype.hasOwnProperty.call(steps, event.key)) {
      event.preventDefault();
      this.step(steps[event.key]);
    } else if (event.key === "Escape" && details) {
      details.open = false;
      details.firstChild.focus();
    }
  };

  Browser.prototype.listen = function () {
    var browser = this;
    this.buttons.forEach(function (button) {
      button.addEventListener("click", function () {
        browser.keep("show", button.dataset.filter === "all" ? null : button.dataset.filter);
      });
    });
    this.picks.forEach(function (pick) {
      pick.addEventListener("input", function () { browser.keep(pick.dataset.pick, pick.value); });
    });
    this.more.addEventListener("click", function () { browser.turn(browser.first + PAGE, 0); });
    this.back.addEventListener("click", function () { browser.turn(browser.first - PAGE, 0); });
    this.section.addEventListener("keydown", function (event) { browser.pressed(event); });
  };

  /* In a single file there are several of them, on pages of which one is seen at a time. */
  var browsers = list(document.querySelectorAll("section.browser")).map(function (node) { return new Browser(node); });

  function follow() {
    browsers.filter(function (one) { return visible(one.section); }).forEach(function (one) {
      if (one.items) { one.follow(); } else if (!one.started) { one.start(); }
    });
  }

  document.addEventListener("DOMContentLoaded", follow);
  window.addEventListener("hashchange", follow);
}());
