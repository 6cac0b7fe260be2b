/* Two models of a task: the pair that is chosen, its counts of right and wrong labels, and the items of each count.
   All figures stand in the table of pairs; nothing is computed here. */
(function () {
  "use strict";
  var element = R2D.element;
  var PAGE = 100;      // rows in the page
  var LONGEST = 600;   // words that are compared
  var CELLS = ["both", "first", "second", "neither"];
  var WORDS = { both: "both right", first: "only the first right", second: "only the second right", neither: "neither right" };

  function list(nodes) { return Array.prototype.slice.call(nodes); }

  function option(value, text) {
    var node = element("option", "", text);
    node.value = value;
    return node;
  }

  function Pairs(section) {
    this.id = section.dataset.table;
    this.section = section;
    this.box = section.querySelector(".duel");
    this.rows = list(section.querySelectorAll("table.pairs tbody tr"));
    this.texts = section.dataset.texts === "yes";
  }

  Pairs.prototype.names = function () {
    var names = {};
    this.rows.forEach(function (row) {
      names[row.dataset.first] = row.cells[0].textContent;
      names[row.dataset.second] = row.cells[1].textContent;
    });
    return names;
  };

  /* The row of two runs; `swapped` where the table has them the other way round. */
  Pairs.prototype.find = function (a, b) {
    var found = null;
    this.rows.forEach(function (row) {
      if (row.dataset.first === a && row.dataset.second === b) { found = { row: row, swapped: false }; }
      if (row.dataset.first === b && row.dataset.second === a) { found = { row: row, swapped: true }; }
    });
    return found;
  };

  Pairs.prototype.chooser = function (name, names) {
    var pairs = this, label = element("label"), select = element("select");
    label.appendChild(document.createTextNode(name === "a" ? "First " : "Second "));
    Object.keys(names).forEach(function (run) { select.appendChild(option(run, names[run])); });
    select.dataset.side = name;
    select.addEventListener("change", function () {
      R2D.hash.set(pairs.id + "." + name, select.value);
      pairs.show();
    });
    label.appendChild(select);
    return label;
  };

  Pairs.prototype.start = function () {
    var pairs = this, names = pairs.names(), bar = element("p", "bar");
    bar.appendChild(pairs.chooser("a", names));
    bar.appendChild(pairs.chooser("b", names));
    pairs.box.appendChild(bar);
    pairs.panel = element("div", "panel");
    pairs.panel.setAttribute("role", "status");
    pairs.box.appendChild(pairs.panel);
    pairs.items = element("div", "items");
    pairs.box.appendChild(pairs.items);
    pairs.box.hidden = false;
    pairs.rows.forEach(function (row) {
      var button = element("button", "", row.cells[0].textContent);
      button.type = "button";
      button.title = "Show this pair";
      button.addEventListener("click", function () {
        R2D.hash.set(pairs.id + ".a", row.dataset.first);
        R2D.hash.set(pairs.id + ".b", row.dataset.second);
        pairs.show();
        pairs.box.scrollIntoView();
      });
      row.cells[0].replaceChildren(button);
    });
    window.addEventListener("hashchange", function () { pairs.show(); });
    pairs.show();
  };

  Pairs.prototype.show = function () {
    var first = this.rows[0].dataset;
    var a = R2D.hash.get(this.id + ".a") || first.first, b = R2D.hash.get(this.id + ".b") || first.second;
    var found = this.find(a, b);
    this.box.querySelector("[data-side=a]").value = a;
    this.box.querySelector("[data-side=b]").value = b;
    this.rows.forEach(function (row) {
      if (found && row === found.row) { row.setAttribute("aria-current", "true"); } else { row.removeAttribute("aria-current"); }
    });
    this.items.replaceChildren();
    if (!found) {
      this.panel.replaceChildren(element("p", "note", "Choose two different rows."));
      return;
    }
    this.panel.replaceChildren(element("p", "sentence", found.row.querySelector(".words").textContent));
    if (found.row.dataset.both !== undefined) { this.panel.appendChild(this.counts(found, a, b)); }
  };

  /* The four counts. Each is a button that lists its items, where texts are published. */
  Pairs.prototype.counts = function (found, a, b) {
    var pairs = this, names = pairs.names(), data = found.row.dataset;
    var of = { both: data.both, first: found.swapped ? data.secondOnly : data.firstOnly, second: found.swapped ? data.firstOnly : data.secondOnly, neither: data.neither };
    var table = element("table", "confusion joint");
    table.appendChild(element("caption", "", "Labels right and wrong, in items. A button lists the items."));
    var head = element("tr"), sides = [names[b] + " right", names[b] + " wrong"];
    head.appendChild(element("td"));
    sides.forEach(function (text) { var cell = element("th", "", text); cell.scope = "col"; head.appendChild(cell); });
    var top = element("thead");
    top.appendChild(head);
    table.appendChild(top);
    var body = element("tbody");
    [[names[a] + " right", ["both", "first"]], [names[a] + " wrong", ["second", "neither"]]].forEach(function (line) {
      var row = element("tr"), title = element("th", "", line[0]);
      title.scope = "row";
      row.appendChild(title);
      line[1].forEach(function (cell) {
        var place = element("td", "num"), button = element("button", "", of[cell]);
        button.type = "button";
        button.dataset.cell = cell;
        button.setAttribute("aria-label", of[cell] + " items, " + WORDS[cell]);
        button.addEventListener("click", function () {
          R2D.hash.set(pairs.id + ".cell", cell);
          pairs.open(a, b, cell);
        });
        place.appendChild(button);
        row.appendChild(place);
      });
      body.appendChild(row);
    });
    table.appendChild(body);
    var cell = R2D.hash.get(pairs.id + ".cell");
    if (pairs.texts && CELLS.indexOf(cell) >= 0) { setTimeout(function () { pairs.open(a, b, cell); }, 0); }
    return table;
  };

  /* The items of one count: from the indexes of both runs, texts when one is opened. */
  Pairs.prototype.load = function (name, callback) { R2D.load(document.body.dataset.root + "data/", this.id + "/" + name, callback); };

  Pairs.prototype.open = function (a, b, cell) {
    var pairs = this, wanted = { both: "rr", first: "rx", second: "xr", neither: "xx" }[cell];
    pairs.items.replaceChildren(element("p", "status", "Loading…"));
    pairs.section.querySelectorAll("[data-cell]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.cell === cell));
    });
    if (!pairs.texts) { return; }
    pairs.load("items/index", function (items) {
      pairs.load(a + "/index", function (one) {
        pairs.load(b + "/index", function (other) {
          if (!items || !one || !other) { pairs.items.replaceChildren(element("p", "status", "A data file of this page could not be loaded.")); return; }
          var sides = [{ run: a, index: one, rows: rowsOf(one, items) }, { run: b, index: other, rows: rowsOf(other, items) }];
          pairs.list(items, sides, found(items, sides, wanted), cell);
        });
      });
    });
  };

  /* Item → row of a run. */
  function rowsOf(index, items) {
    var rows = new Map();
    var count = index.states.length;
    for (var row = 0; row < count; row += 1) { rows.set(index.items ? index.items[row] : row, row); }
    return rows;
  }

  function found(items, sides, wanted) {
    var chosen = [];
    items.ids.forEach(function (_, item) {
      if (items.member && items.member[item]) { return; }
      var fits = sides.every(function (side, number) {
        var row = side.rows.get(item), state = row === undefined ? "n" : side.index.states[row];
        return state !== "n" && (state === "r") === (wanted[number] === "r");
      });
      if (fits) { chosen.push(item); }
    });
    return chosen;
  }

  Pairs.prototype.list = function (items, sides, chosen, cell) {
    var pairs = this, names = pairs.names(), first = 0;
    var status = element("p", "status"), rows = element("div", "examples"), paging = element("p", "paging");
    status.setAttribute("role", "status");
    var back = element("button", "", "Back"), more = element("button", "", "Show more");
    back.type = more.type = "button";
    paging.appendChild(back);
    paging.appendChild(document.createTextNode(" "));
    paging.appendChild(more);
    function show() {
      var page = chosen.slice(first, first + PAGE);
      status.textContent = "Items, " + WORDS[cell] + ": " + (page.length ? (first + 1) + "–" + (first + page.length) + " of " + chosen.length : "none") + ".";
      rows.replaceChildren.apply(rows, page.map(function (item) { return pairs.entry(items, sides, item, names); }));
      paging.hidden = chosen.length <= PAGE;
      back.disabled = first === 0;
      more.disabled = first + PAGE >= chosen.length;
    }
    back.addEventListener("click", function () { first -= PAGE; show(); });
    more.addEventListener("click", function () { first += PAGE; show(); });
    pairs.items.replaceChildren(status, rows, paging);
    show();
  };

  Pairs.prototype.entry = function (items, sides, item, names) {
    var pairs = this, details = element("details", "example"), summary = element("summary");
    function label(number) { return number < 0 ? "–" : items.labels[number]; }
    summary.appendChild(element("code", "", items.ids[item]));
    summary.appendChild(element("span", "state", "gold " + label(items.gold[item])));
    var said = element("span", "labels");
    sides.forEach(function (side, number) {
      said.appendChild(document.createTextNode((number ? ", second " : "first ")));
      said.appendChild(element("b", "", label(side.index.labels[side.rows.get(item)])));
    });
    summary.appendChild(said);
    details.appendChild(summary);
    details.addEventListener("toggle", function () {
      if (details.open && details.children.length === 1) { pairs.body(details, items, sides, item, names); }
    });
    return details;
  };

  function shard(number) { return ("00" + number).slice(-Math.max(3, String(number).length)); }

  Pairs.prototype.body = function (details, items, sides, item, names) {
    var pairs = this, size = items.rows, box = element("div", "body");
    details.appendChild(box);
    pairs.load("items/" + shard(Math.floor(item / size)), function (texts) {
      var rows = sides.map(function (side) { return side.rows.get(item); });
      pairs.load(sides[0].run + "/" + shard(Math.floor(rows[0] / size)), function (ones) {
        pairs.load(sides[1].run + "/" + shard(Math.floor(rows[1] / size)), function (others) {
          if (!texts || !ones || !others) { box.textContent = "A data file of this page could not be loaded."; return; }
          var answers = [ones[rows[0] % size], others[rows[1] % size]];
          text(box, "Input", texts[item % size].input);
          text(box, "Gold rationale", texts[item % size].reference);
          var both = element("div", "pair");
          var words = difference(answers[0].rationale || "", answers[1].rationale || "");
          sides.forEach(function (side, number) {
            var part = element("div", "part");
            part.appendChild(element("h3", "", "Rationale of " + names[side.run] + " (" + answers[number].rationale_status + ")"));
            part.appendChild(marked(words[number]));
            both.appendChild(part);
          });
          box.appendChild(both);
          box.appendChild(element("p", "note", "Underlined: words that the other one does not have there."));
        });
      });
    });
  };

  function text(parent, title, words) {
    if (words === null || words === undefined) { return; }
    parent.appendChild(element("h3", "", title));
    parent.appendChild(element("pre", "", words));
  }

  function marked(parts) {
    var pre = element("pre");
    parts.forEach(function (part) {
      pre.appendChild(part[1] ? document.createTextNode(part[0]) : element("u", "", part[0]));
      pre.appendChild(document.createTextNode(" "));
    });
    return pre;
  }

  /* Both texts as words, each with whether it is part of their longest common sequence. */
  function difference(one, other) {
    var a = one.split(/\s+/).filter(Boolean).slice(0, LONGEST), b = other.split(/\s+/).filter(Boolean).slice(0, LONGEST);
    var width = b.length + 1, best = new Uint16Array((a.length + 1) * width);
    for (var i = a.length - 1; i >= 0; i -= 1) {
      for (var j = b.length - 1; j >= 0; j -= 1) {
        best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
      }
    }
    var first = a.map(function (word) { return [word, false]; }), second = b.map(function (word) { return [word, false]; });
    var x = 0, y = 0;
    while (x < a.length && y < b.length) {
      if (a[x] === b[y]) { first[x][1] = true; second[y][1] = true; x += 1; y += 1; }
      else if (best[(x + 1) * width + y] >= best[x * width + y + 1]) { x += 1; } else { y += 1; }
    }
    return [first, second];
  }

  list(document.querySelectorAll("section.duels")).forEach(function (section) {
    if (section.querySelector("table.pairs")) { new Pairs(section).start(); }
  });
}());
