/* Tables of runs: sort, search, filter, choose columns, download what is shown; all of it kept in the address. */
(function () {
  "use strict";
}());
