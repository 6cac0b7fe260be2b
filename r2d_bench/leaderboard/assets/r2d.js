/* What all pages share: elements, state in the address, and shards of data. Shards are classic scripts that call
   R2D.shard(key, value), since fetch fails on pages opened from disk; or they stand packed in the page itself.
   All text in them is untrusted and reaches the page through textContent only. */
(function () {
  "use strict";
  var AT_ONCE = 6;  // scripts that load at the same time
  var KEPT = 80;    // shards in memory, the last ones used
  var cache = new Map(), waiting = new Map(), queue = [], loading = 0;

  function element(name, className, text) {
    var node = document.createElement(name);
    if (className) { node.className = className; }
    if (text !== undefined && text !== null) { node.textContent = text; }
    return node;
  }

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

  /* Loads a shard: callback(value), or callback(null) where it cannot be had. Each is loaded once, however many ask. */
  function load(base, key, callback) {
    if (cache.has(key)) {
      var value = cache.get(key);
      cache.delete(key);
      cache.set(key, value);
      callback(value);
      return;
    }
    if (waiting.has(key)) { waiting.get(key).push(callback); return; }
    waiting.set(key, [callback]);
    queue.push(function () { fetchShard(base, key); });
    next();
  }

  function next() {
    while (loading < AT_ONCE && queue.length) { loading += 1; queue.shift()(); }
  }

  function fetchShard(base, key) {
    var packed = document.querySelector('script[data-shard="' + CSS.escape(key) + '"]');
    if (packed) {
      unpack(packed.textContent).then(function (text) { arrived(key, JSON.parse(text)); }).catch(function () {})
        .then(function () { settled(key); });
      return;
    }
    if (document.documentElement.classList.contains("single")) { settled(key); return; }
    var script = document.createElement("script");
    script.src = base + key.split("/").map(encodeURIComponent).join("/") + ".js";
    script.onload = script.onerror = function () { script.remove(); settled(key); };
    document.head.appendChild(script);
  }

  function unpack(text) {
    var bytes = Uint8Array.from(atob(text.trim()), function (character) { return character.charCodeAt(0); });
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  function arrived(key, value) {
    if (!waiting.has(key)) { return; }
    cache.set(key, value);
    if (cache.size > KEPT) { cache.delete(cache.keys().next().value); }
  }

  function settled(key) {
    var callbacks = waiting.get(key), value = cache.has(key) ? cache.get(key) : null;
    waiting.delete(key);
    loading -= 1;
    callbacks.forEach(function (callback) { callback(value); });
    next();
  }

  /* One example, opened. */
  function block(parent, title, text, empty) {
    if (text === null || text === undefined) { return; }
    var part = element("div", "part");
    part.appendChild(element("h3", "", title));
    part.appendChild(text === "" ? element("p", "none", empty || "(empty)") : element("pre", "", text));
    parent.appendChild(part);
  }

  function values(parent, pairs) {
    if (!pairs.length) { return; }
    var list = element("dl", "facts values");
    pairs.forEach(function (pair) {
      list.appendChild(element("dt", "", pair[0]));
      list.appendChild(element("dd", "", pair[1]));
    });
    parent.appendChild(list);
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
    values(part, judge.scores);
    parent.appendChild(part);
  }

  /* The body of an example: `item` of an items shard, `answer` of a run's shard, `metrics` of that run's index. */
  function example(item, answer, metrics) {
    var box = element("div", "body");
    block(box, "Input", item.input);
    var outputs = element("div", "pair");
    answer.outputs.forEach(function (output) {
      block(outputs, "Thinking, stage " + output.stage, output.thinking);
      block(outputs, "Raw output, stage " + output.stage + " (" + output.finish + ")", output.text);
    });
    box.appendChild(outputs);
    var rationales = element("div", "pair");
    block(rationales, "Gold rationale", item.reference);
    block(rationales, "Rationale (" + answer.rationale_status + ")", answer.rationale);
    box.appendChild(rationales);
    if (answer.label_status && answer.label_status !== "parsed") {
      box.appendChild(element("p", "note", "Label: " + answer.label_status.replace(/_/g, " ")));
    }
    if (answer.unscored) { box.appendChild(element("p", "note", "Unscored: " + answer.unscored)); }
    var cut = [["input", answer.input_cut], ["output", answer.output_cut]].filter(function (one) { return one[1]; });
    if (cut.length) {
      box.appendChild(element("p", "note", "Cut to length: " + cut.map(function (one) { return one[0]; }).join(", ")));
    }
    (answer.judged || []).forEach(function (judge) { verdict(box, judge); });
    values(box, metrics.map(function (name, place) { return [name, answer.values[place]]; })
      .filter(function (pair) { return pair[1] !== null; }));
    return box;
  }

  window.R2D = {
    hash: { get: function (key) { return read().get(key); }, set: write },
    element: element,
    load: load,
    shard: arrived,
    example: example
  };
}());
