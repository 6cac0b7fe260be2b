/* One file: one page is seen at a time. The address names a place, or holds state together with its page. */
(function () {
  "use strict";
  var pages = Array.prototype.slice.call(document.querySelectorAll(".page"));
  if (!pages.length) { return; }
  var now = pages[0];
  var set = R2D.hash.set;

  R2D.hash.set = function (key, value) {
    set(key, value);
    set("page", now.id);
  };

  function turn() {
    var name = location.hash.slice(1);
    var place = document.getElementById(R2D.hash.get("page") || decodeURIComponent(name));
    var page = place ? place.closest(".page") : pages[0];
    now = page || pages[0];
    pages.forEach(function (one) { one.hidden = one !== now; });
    if (place && place !== now) { place.scrollIntoView(); } else if (name.indexOf("=") < 0) { window.scrollTo(0, 0); }
    document.title = now.querySelector("h1") ? now.querySelector("h1").textContent : document.title;
  }

  window.addEventListener("hashchange", turn);
  turn();
}());
