/* Two models of a task: the pair that is chosen, its counts of right and wrong labels, and the items of each count.
   All figures stand in the table of pairs; nothing is computed here. */
(function () {
  "use strict";
  var element = R2D.element;
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
    if (CELLS.indexOf(cell) >= 0) { setTimeout(function () { pairs.open(a, b, cell); }, 0); }
    return table;
  };

  Pairs.prototype.open = function () {};

  list(document.querySelectorAll("section.duels")).forEach(function (section) {
    if (section.querySelector("table.pairs")) { new Pairs(section).start(); }
  });
}());
