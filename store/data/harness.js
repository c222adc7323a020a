/* What CouchDB gives to the functions of a design document, and the few calls by which the store runs them.
   Evaluated once in each realm; its value is the function that the store calls. Every answer is a JSON text. */
(function (global) {
  "use strict";
  var evaluate = eval; // called by this name it runs in the global scope, outside strict mode
  var stringify = JSON.stringify, parse = JSON.parse, freeze = Object.freeze, valuesOf = Object.values;
  var rows = [], logs = [], maps = [], fun = null, ddoc = {}, modules = Object.create(null);

  function log(message) {
    if (logs.length < 100) {
      logs.push(typeof message === "string" ? message : String(stringify(message)));
    }
  }

  function compile(source) {
    var attempts = ["(" + source + "\n)", "(" + source.replace(/[;\s]+$/, "") + "\n)", source];
    var failure;
    for (var i = 0; i < attempts.length; i++) {
      try {
        var value = evaluate(attempts[i]);
        if (typeof value === "function") { return value; }
        failure = failure || "Expression does not eval to a function. (" + source + ")";
      } catch (error) {
        failure = failure || String(error);
      }
    }
    throw { compilation_error: failure };
  }

  function resolve(name, from) {
    var parts = name.split("/");
    var relative = parts[0] === "." || parts[0] === "..";
    var path = relative && from ? from.path.slice(0, -1) : [];
    parts.forEach(function (part) {
      if (part === "..") {
        if (!path.length) {
          throw { error: "invalid_require_path", reason: 'Object has no parent ' + stringify(name) };
        }
        path.pop();
      } else if (part !== "." && part !== "") {
        path.push(part);
      }
    });
    var found = ddoc;
    path.forEach(function (part) {
      if (found === null || typeof found !== "object" || !Object.prototype.hasOwnProperty.call(found, part)) {
        throw { error: "invalid_require_path", reason: 'Object has no property "' + part + '". ' + stringify(name) };
      }
      found = found[part];
    });
    if (typeof found !== "string") {
      throw { error: "invalid_require_path", reason: "Must require a JavaScript string, not: " + typeof found };
    }
    return { id: path.join("/"), path: path, source: found };
  }

  function requireFrom(parent) {
    return function require(name) {
      var found = resolve(String(name), parent);
      var module = modules[found.id];
      if (!module) {
        module = modules[found.id] = { id: found.id, exports: {}, path: found.path };
        try {
          evaluate("(function (module, exports, require) {" + found.source + "\n})")
            .call(global, module, module.exports, requireFrom(module));
        } catch (error) {
          delete modules[found.id];
          throw { error: "compilation_error",
                  reason: "Module require('" + name + "') raised error " + describe(error) };
        }
      }
      return module.exports;
    };
  }

  function describe(error) {
    if (error && typeof error === "object" && !(error instanceof Error)) { return String(stringify(error)); }
    return String(error);
  }

  // Out of memory: the engine may have been unable to make even the error, and then throws null.
  function isLimit(error) {
    return error === null || (error instanceof Error && error.name === "InternalError");
  }

  // An index build spends much of its time here: members that are no objects are not worth a call.
  function freezeAll(object) {
    freeze(object);
    var members = valuesOf(object);
    for (var i = 0; i < members.length; i++) {
      if (typeof members[i] === "object" && members[i] !== null) { freezeAll(members[i]); }
    }
    return object;
  }

  function runMap(index, doc) {
    rows = [];
    try {
      maps[index](doc);
      return rows;
    } catch (error) {
      if (isLimit(error)) { throw error; }
      log("function raised exception (" + describe(error) + ") with doc._id " + doc._id);
      return [];
    }
  }

  function answer(value) {
    var text = stringify([value, logs]);
    logs = [];
    return text;
  }

  function mapped(results, id) {
    try {
      return answer(results);
    } catch (_) {
      return answer(results.map(function (emitted) { // one view emitted what JSON cannot hold
        try {
          stringify(emitted);
          return emitted;
        } catch (error) {
          log("function raised exception (" + describe(error) + ") with doc._id " + id);
          return [];
        }
      }));
    }
  }

  // --- shows, lists and updates

  var page = null; // what the function that runs now has started, sent and offered
  var types = {
    all: ["*/*"], text: ["text/plain; charset=utf-8", "txt"], html: ["text/html; charset=utf-8"],
    xhtml: ["application/xhtml+xml", "xhtml"], xml: ["application/xml", "text/xml", "application/x-xml"],
    js: ["text/javascript", "application/javascript", "application/x-javascript"], css: ["text/css"],
    ics: ["text/calendar"], csv: ["text/csv"], rss: ["application/rss+xml"], atom: ["application/atom+xml"],
    yaml: ["application/x-yaml", "text/yaml"], multipart_form: ["multipart/form-data"],
    url_encoded_form: ["application/x-www-form-urlencoded"], json: ["application/json", "text/x-json"],
  };

  function beginPage(rows) {
    page = { started: {}, chunks: [], offers: [], rows: rows, next: 0 };
    global.start = function start(response) { page.started = response || {}; };
    global.send = function send(chunk) { page.chunks.push(String(chunk)); };
    global.getRow = function getRow() { return page.next < page.rows.length ? page.rows[page.next++] : null; };
    global.provides = function provides(type, offer) { page.offers.push([type, offer]); };
    global.registerType = function registerType(type) { types[type] = Array.prototype.slice.call(arguments, 1); };
  }

  function mimeTypes(offer) { return types[offer[0]] || []; }

  // The offer the client likes best, with the type it is sent as.
  function chooseOffer(req) {
    var format = req.query && req.query.format;
    var wanted = format ? (types[format] || [format]) : String((req.headers || {}).Accept || "*/*").split(",")
      .map(function (range, position) {
        var quality = /;\s*q=([0-9.]+)/.exec(range);
        return { type: range.split(";")[0].trim(), quality: quality ? Number(quality[1]) : 1, position: position };
      })
      .sort(function (a, b) { return b.quality - a.quality || a.position - b.position; })
      .map(function (range) { return range.type; });
    for (var i = 0; i < wanted.length; i++) {
      var range = wanted[i].split(";")[0], start = range.split("/")[0] + "/";
      for (var j = 0; j < page.offers.length; j++) {
        var offered = mimeTypes(page.offers[j]);
        for (var k = 0; k < offered.length; k++) {
          var type = offered[k].split(";")[0];
          if (range === "*/*" || range === type || (range === start + "*" && type.indexOf(start) === 0)) {
            return { run: page.offers[j][1], type: range === "*/*" ? offered[0] : offered[k] };
          }
        }
      }
    }
    throw { error: "not_acceptable", reason: "Content-Type " + (format || (req.headers || {}).Accept) +
      " not supported, try one of: " + page.offers.map(mimeTypes).join(", ") };
  }

  function asResponse(result, kind) {
    if (result === undefined || result === null) { return {}; }
    if (typeof result === "string") { return { body: result }; }
    if (typeof result !== "object") {
      throw { error: "render_error", reason: "undefined response from " + kind + " function" };
    }
    return result;
  }

  function finishPage(result, req, kind) {
    var type = null;
    if (page.offers.length) {
      var offer = chooseOffer(req);
      type = offer.type;
      result = offer.run.call(ddoc);
    }
    var given = asResponse(result, kind), headers = {}, name;
    if (type) { headers["Content-Type"] = type; }
    [page.started.headers, given.headers].forEach(function (some) {
      for (name in some || {}) { headers[name] = some[name]; }
    });
    var response = { code: given.code || page.started.code, headers: headers };
    if (page.chunks.length) {
      response.body = page.chunks.join("") + (given.body === undefined ? "" : given.body);
    } else {
      ["body", "base64", "json"].forEach(function (member) {
        if (given[member] !== undefined) { response[member] = given[member]; }
      });
    }
    return response;
  }

  function runPage(rows, run) {
    beginPage(rows);
    try {
      return answer(run());
    } catch (error) {
      if (isLimit(error)) { throw error; }
      if (Array.isArray(error) && error.length === 3) {
        throw { error: String(error[1]), reason: String(error[2]) };
      }
      if (error && typeof error === "object" && "error" in error && !(error instanceof Error)) { throw error; }
      throw { error: "render_error", reason: "function raised error: " + describe(error) };
    } finally {
      page = null;
    }
  }

  var calls = {
    compileMaps: function (sources, lib) {
      ddoc = { views: { lib: parse(lib) } };
      maps = parse(sources).map(compile);
      return answer(null);
    },
    compile: function (source, ddocJson) {
      ddoc = parse(ddocJson);
      fun = compile(source);
      return answer(null);
    },
    map: function (docJson) {
      var doc = freezeAll(parse(docJson));
      var results = [];
      for (var i = 0; i < maps.length; i++) { results.push(runMap(i, doc)); }
      return mapped(results, doc._id);
    },
    mapOne: function (docJson, index) {
      var doc = freezeAll(parse(docJson));
      return mapped([runMap(index, doc)], doc._id);
    },
    reduce: function (keys, values, rereduce) {
      var result;
      try {
        result = fun(parse(keys), parse(values), rereduce);
        return answer(result === undefined ? null : result);
      } catch (error) {
        if (isLimit(error)) { throw error; }
        log("function raised exception (" + describe(error) + ") while reducing");
        return answer(null);
      }
    },
    validate: function (newDoc, oldDoc, userCtx, secObj) {
      fun.call(ddoc, parse(newDoc), parse(oldDoc), parse(userCtx), parse(secObj));
      return answer(null);
    },
    filter: function (doc, req) {
      return answer(Boolean(fun.call(ddoc, parse(doc), parse(req))));
    },
    show: function (doc, reqJson) {
      var req = parse(reqJson);
      return runPage([], function () { return finishPage(fun.call(ddoc, parse(doc), req), req, "show"); });
    },
    list: function (head, rows, reqJson) {
      var req = parse(reqJson);
      return runPage(parse(rows), function () { return finishPage(fun.call(ddoc, parse(head), req), req, "list"); });
    },
    update: function (doc, reqJson) {
      var req = parse(reqJson);
      return runPage([], function () {
        var pair = fun.call(ddoc, parse(doc), req);
        if (!Array.isArray(pair)) {
          throw { error: "render_error", reason: "undefined response from update function" };
        }
        return { doc: pair[0] === undefined ? null : pair[0], response: asResponse(pair[1], "update") };
      });
    },
  };

  global.emit = function emit(key, value) { rows.push([key, value]); };
  global.log = log;
  global.sum = function sum(values) {
    var total = 0;
    for (var i = 0; i < values.length; i++) { total += values[i]; }
    return total;
  };
  global.isArray = Array.isArray;
  global.toJSON = stringify;
  global.require = requireFrom(null);

  return function call(name, a, b, c, d) {
    try {
      return calls[name](a, b, c, d);
    } catch (error) {
      if (isLimit(error)) { throw error; }
      var kind = error instanceof Error ? error.name : null;
      var thrown = kind === null ? error : { error: kind, reason: error.message };
      logs = [];
      return stringify({ thrown: thrown === undefined ? null : thrown });
    }
  };
})(globalThis);
