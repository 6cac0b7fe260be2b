/* Tables of runs: sort, search, filter, choose columns, download what is shown. The choices stand in the address. */
(function () {
  "use strict";
  var element = R2D.element;

  function list(nodes) { return Array.prototype.slice.call(nodes); }

  /* A table as blocks of rows: a single row, or a group of seeds with its members, which move together. */
  function blocks(body) {
    var found = [], left = 0;
    list(body.rows).forEach(function (row) {
      if (left > 0) { found[found.length - 1].push(row); left -= 1; return; }
      found.push([row]);
      left = Number(row.dataset.members || 0);
    });
    return found;
  }

  function Board(table, tools, status) {
    this.id = tools.dataset.for;
    this.table = table;
    this.tools = tools;
    this.status = status;
    this.body = table.tBodies[0];
    this.heads = list(table.tHead.rows[0].cells);
    this.blocks = blocks(this.body);
    this.usual = this.heads.filter(function (head) { return !head.classList.contains("off"); }).map(key);
    this.filters = {};
  }

  function key(head) { return head.dataset.key; }

  Board.prototype.state = function (name) { return R2D.hash.get(this.id + "." + name); };
  Board.prototype.keep = function (name, value) { R2D.hash.set(this.id + "." + name, value); };

  Board.prototype.column = function (name) {
    return this.heads.map(key).indexOf(name);
  };

  /* Sorting. Rows without a value stand last, whichever way. */
  Board.prototype.sort = function (name, way) {
    var place = this.column(name);
    if (place < 0) { return; }
    var numeric = this.heads[place].classList.contains("num");
    var sign = way === "desc" ? -1 : 1;
    function value(block) {
      var text = block[0].cells[place] && block[0].cells[place].dataset.v;
      return text === undefined || text === "" ? null : numeric ? Number(text) : text;
    }
    var keyed = this.blocks.map(function (block, index) { return { block: block, value: value(block), index: index }; });
    keyed.sort(function (a, b) {
      if (a.value === null || b.value === null) { return (a.value === null) - (b.value === null) || a.index - b.index; }
      if (a.value === b.value) { return a.index - b.index; }
      return sign * (a.value < b.value ? -1 : 1);
    });
    var body = this.body;
    keyed.forEach(function (one) { one.block.forEach(function (row) { body.appendChild(row); }); });
    this.heads.forEach(function (head, index) {
      if (index === place) { head.setAttribute("aria-sort", way === "desc" ? "descending" : "ascending"); }
      else { head.removeAttribute("aria-sort"); }
    });
  };

  Board.prototype.sortable = function () {
    var board = this;
    board.heads.forEach(function (head) {
      var title = head.querySelector(".title");
      var button = element("button", "sort", title.textContent);
      button.type = "button";
      if (title.title) { button.title = title.title; }
      title.replaceWith(button);
      button.addEventListener("click", function () {
        var now = head.getAttribute("aria-sort"), usual = head.dataset.way;
        var way = now === null ? usual : now === "ascending" ? "desc" : "asc";
        board.sort(key(head), way);
        board.keep("sort", key(head) + ":" + way);
        board.status.textContent = "Sorted by " + button.textContent + ", " + (way === "desc" ? "highest" : "lowest") + " first.";
      });
    });
  };

  /* Columns. */
  Board.prototype.show = function (wanted) {
    var table = this.table;
    this.heads.forEach(function (head, index) {
      var off = index > 0 && wanted.indexOf(key(head)) < 0;
      list(table.rows).forEach(function (row) {
        if (row.cells[index]) { row.cells[index].classList.toggle("off", off); }
      });
    });
    this.tools.querySelectorAll("[data-column]").forEach(function (box) {
      box.checked = wanted.indexOf(box.dataset.column) >= 0;
    });
  };

  Board.prototype.shown = function () {
    return this.heads.filter(function (head) { return !head.classList.contains("off"); }).map(key);
  };

  Board.prototype.picker = function () {
    var board = this, groups = {};
    board.heads.slice(1).forEach(function (head) {
      (groups[head.dataset.group] = groups[head.dataset.group] || []).push(head);
    });
    var box = element("details", "picker");
    box.appendChild(element("summary", "", "Columns"));
    var inner = element("div", "groups");
    function chosen() {
      var on = list(box.querySelectorAll("[data-column]:checked")).map(function (one) { return one.dataset.column; });
      return ["model"].concat(on);
    }
    function change() {
      var wanted = chosen();
      board.show(wanted);
      var same = wanted.length === board.usual.length && wanted.every(function (one) { return board.usual.indexOf(one) >= 0; });
      board.keep("cols", same ? null : wanted.slice(1).join(",") || "none");
    }
    Object.keys(groups).forEach(function (name) {
      var set = element("fieldset");
      set.appendChild(element("legend", "", name));
      groups[name].forEach(function (head) {
        var label = element("label"), tick = element("input");
        tick.type = "checkbox";
        tick.dataset.column = key(head);
        tick.addEventListener("change", change);
        label.appendChild(tick);
        var way = head.querySelector(".sig, .way a");
        label.appendChild(document.createTextNode(" " + head.querySelector(".title, .sort").textContent + (way ? " (" + way.textContent + ")" : "")));
        set.appendChild(label);
      });
      inner.appendChild(set);
    });
    var bar = element("p", "bar");
    [["All", board.heads.map(key)], ["As the board has them", board.usual]].forEach(function (pair) {
      var button = element("button", "", pair[0]);
      button.type = "button";
      button.addEventListener("click", function () { board.show(pair[1]); change(); });
      bar.appendChild(button);
    });
    box.appendChild(bar);
    box.appendChild(inner);
    return box;
  };

  /* Search and filters. A group of seeds is shown while any of its rows is. */
  Board.prototype.filter = function () {
    var board = this, words = (board.filters.q || "").toLowerCase().split(/\s+/).filter(Boolean);
    var rows = 0, all = 0;
    function fits(row) {
      var data = row.dataset, wanted = board.filters;
      var text = (row.cells[0].textContent + " " + row.cells[1].textContent).toLowerCase();
      return words.every(function (word) { return text.indexOf(word) >= 0; })
        && (!wanted.family || data.family === wanted.family)
        && (!wanted.open || data.open === "yes")
        && (!wanted.complete || data.complete === "yes")
        && (!wanted.size || (data.size !== "" && Number(data.size) <= Number(wanted.size)));
    }
    board.blocks.forEach(function (block) {
      var any = false;
      block.forEach(function (row) {
        if (row.classList.contains("seeds")) { return; }
        row.hidden = !fits(row);
        any = any || !row.hidden;
        all += 1;
        rows += row.hidden ? 0 : 1;
      });
      if (block[0].classList.contains("seeds")) { block[0].hidden = !any; }
    });
    board.status.textContent = rows === all ? "" : rows + " of " + all + " rows.";
  };

  Board.prototype.choose = function (name, value) {
    this.filters[name] = value;
    this.keep(name, value || null);
    this.filter();
  };

  function distinct(rows, name) {
    return Array.from(new Set(rows.map(function (row) { return row.dataset[name]; }))).filter(Boolean).sort();
  }

  Board.prototype.controls = function () {
    var board = this, bar = element("div", "bar");
    var rows = list(board.body.querySelectorAll("tr[data-run]"));
    function labelled(text, input) {
      var label = element("label");
      label.appendChild(document.createTextNode(text + " "));
      label.appendChild(input);
      bar.appendChild(label);
    }
    function select(name, text, options) {
      var input = element("select");
      [["", "any"]].concat(options).forEach(function (pair) {
        var option = element("option", "", pair[1]);
        option.value = pair[0];
        input.appendChild(option);
      });
      input.dataset.filter = name;
      input.addEventListener("change", function () { board.choose(name, input.value); });
      labelled(text, input);
    }
    function tick(name, text) {
      var input = element("input");
      input.type = "checkbox";
      input.dataset.filter = name;
      input.addEventListener("change", function () { board.choose(name, input.checked ? "1" : ""); });
      labelled(text, input);
    }
    var search = element("input");
    search.type = "search";
    search.dataset.filter = "q";
    search.addEventListener("input", function () { board.choose("q", search.value); });
    labelled("Search", search);
    var families = distinct(rows, "family"), sizes = distinct(rows, "size");
    if (families.length > 1) { select("family", "Family", families.map(function (one) { return [one, one]; })); }
    if (sizes.length) { select("size", "Size up to", [["1e8", "100 M"], ["1e9", "1 B"], ["1e10", "10 B"], ["1e11", "100 B"]]); }
    if (distinct(rows, "open").length) { tick("open", "Open weights"); }
    if (distinct(rows, "complete").length > 1) { tick("complete", "Whole split only"); }
    return bar;
  };

  /* Downloads of the view: rows and columns as shown, in their order. */
  Board.prototype.view = function () {
    var board = this, shown = board.shown();
    return list(board.body.rows).filter(function (row) { return row.dataset.run && !row.hidden; }).map(function (row) {
      var record = { run: row.dataset.run };
      shown.forEach(function (name) {
        var cell = row.cells[board.column(name)];
        var ends = cell.querySelector(".ci data");
        var numeric = board.heads[board.column(name)].classList.contains("num");
        if (name === "rank") { record.rank = cell.firstChild ? cell.firstChild.textContent.trim() : ""; return; }
        if (!numeric) { record[name] = cell.dataset.v || ""; return; }
        record[name] = cell.dataset.v === undefined ? null : Number(cell.dataset.v);
        if (cell.dataset.n === undefined) { return; }
        record[name + ".low"] = ends ? Number(ends.value.split("/")[0]) : null;
        record[name + ".high"] = ends ? Number(ends.value.split("/")[1]) : null;
        record[name + ".n"] = Number(cell.dataset.n);
      });
      return record;
    });
  };

  function csv(records) {
    var names = [];
    records.forEach(function (record) {
      Object.keys(record).forEach(function (name) { if (names.indexOf(name) < 0) { names.push(name); } });
    });
    function cell(value) {
      if (value === null || value === undefined) { return ""; }
      if (typeof value === "number") { return String(value); }
      // No spreadsheet may take a text for a formula.
      var text = /^[=+\-@\t\r]/.test(value) ? "'" + value : value;
      return /[",\n\r]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
    }
    var lines = [names].concat(records.map(function (record) { return names.map(function (name) { return record[name]; }); }));
    return lines.map(function (line) { return line.map(cell).join(","); }).join("\n") + "\n";
  }

  function save(name, type, text) {
    var link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type: type }));
    link.download = name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 1000);
  }

  Board.prototype.downloads = function (bar) {
    var board = this;
    [["CSV", "text/csv", csv], ["JSON", "application/json", function (records) { return JSON.stringify(records, null, 1) + "\n"; }]].forEach(function (kind) {
      var button = element("button", "", "This view as " + kind[0]);
      button.type = "button";
      button.addEventListener("click", function () {
        save(board.id + "." + kind[0].toLowerCase(), kind[1], kind[2](board.view()));
      });
      bar.appendChild(button);
    });
  };

  /* The address decides; without it all is as the page was made. */
  Board.prototype.restore = function () {
    var board = this, cols = board.state("cols"), sort = board.state("sort");
    board.show(cols ? ["model"].concat(cols.split(",")) : board.usual);
    board.tools.querySelectorAll("[data-filter]").forEach(function (input) {
      var value = board.state(input.dataset.filter) || "";
      if (input.type === "checkbox") { input.checked = value === "1"; } else { input.value = value; }
      board.filters[input.dataset.filter] = value;
    });
    board.filter();
    if (sort) { board.sort(sort.split(":")[0], sort.split(":")[1]); } else { board.reset(); }
  };

  Board.prototype.reset = function () {
    var first = this.heads.filter(function (head) { return head.dataset.first; })[0];
    var body = this.body;
    this.blocks.forEach(function (block) { block.forEach(function (row) { body.appendChild(row); }); });
    this.heads.forEach(function (head) { head.removeAttribute("aria-sort"); });
    if (first) { first.setAttribute("aria-sort", first.dataset.first); }
  };

  Board.prototype.start = function () {
    var board = this;
    board.heads.forEach(function (head) {
      if (head.getAttribute("aria-sort")) { head.dataset.first = head.getAttribute("aria-sort"); }
    });
    board.sortable();
    var bar = board.controls();
    board.downloads(bar);
    board.tools.appendChild(bar);
    board.tools.appendChild(board.picker());
    board.tools.hidden = false;
    board.restore();
    window.addEventListener("hashchange", function () { board.restore(); });
  };

  list(document.querySelectorAll(".tools")).forEach(function (tools) {
    var area = tools.nextElementSibling;
    new Board(area.querySelector("table"), tools, area.nextElementSibling).start();
  });
}());
