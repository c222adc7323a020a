/* The pages of the login without reloading them. Everything here only improves on what the plain forms do. */
(function () {
  'use strict';

  var form = document.getElementById('form');
  var user = form.elements.user || form.elements.username;
  var locale = form.elements.locale;
  var show = form.querySelector('.show');
  var submit = document.getElementById('submit');
  var error = document.getElementById('error');
  var query = new URLSearchParams(window.location.search);
  var translations = JSON.parse(decodeURIComponent(document.body.dataset.translations));
  var errors = JSON.parse(form.dataset.errors);

  function cookie(name) {
    var found = document.cookie.split('; ').filter(function (part) { return part.indexOf(name + '=') === 0; })[0];
    return found && decodeURIComponent(found.slice(name.length + 1));
  }

  function userContext() {
    try {
      return JSON.parse(cookie('userCtx') || 'null');
    } catch (notJson) {
      return null;
    }
  }

  function text(key) {
    var texts = translations[locale ? locale.value : document.documentElement.lang] || {};
    return texts[key] || key;
  }

  function say(key) {
    error.dataset.key = key;
    error.textContent = text(key);
    error.hidden = false;
    submit.disabled = false;
    (form.querySelector('input:not([type=hidden])') || submit).focus();
  }

  function sameHost(redirect) {
    var url = redirect ? new URL(redirect, window.location.origin) : null;
    return url && url.origin === window.location.origin ? url.pathname + url.search + url.hash : null;
  }

  /* Somebody who is logged in goes on, unless told to log in again. */
  function skip() {
    var context = form.dataset.skip && cookie('login') !== 'force' && userContext();
    if (context) {
      window.location.replace(sameHost(query.get('redirect')) || context.home || '/');
    }
    return Boolean(context);
  }

  /* A redirect made for one user is not followed by another. */
  function redirectFor(name) {
    var meantFor = query.get('username');
    return !meantFor || meantFor === name ? query.get('redirect') : null;
  }

  function fields() {
    var sent = {};
    Array.prototype.forEach.call(form.elements, function (each) {
      if (each.name) {
        sent[each.name] = each.value;
      }
    });
    if (user) {
      sent[user.name] = user.value.trim().toLowerCase();
      sent.redirect = redirectFor(sent[user.name]);
    }
    return sent;
  }

  function refuse(response) {
    if (response.status === 429) {
      return say('login.wait');
    }
    return response.json().then(function (body) { say(errors[body.error] || 'login.error'); });
  }

  function send(event) {
    if (event) {
      event.preventDefault();
    }
    submit.disabled = true;
    error.hidden = true;
    fetch(form.action, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify(fields())
    }).then(function (response) {
      if (response.status !== 302) {
        return refuse(response).catch(function () { say('login.error'); });
      }
      return response.text().then(function (target) { window.location.assign(target); });
    }).catch(function () {
      say('login.offline');
    });
  }

  function showPasswords() {
    var hidden = form.querySelector('[type=password]') !== null;
    form.querySelectorAll('[autocomplete$=password]').forEach(function (each) {
      each.type = hidden ? 'text' : 'password';
    });
    show.dataset.key = hidden ? 'login.hide_password' : 'login.show_password';
    show.textContent = text(show.dataset.key);
  }

  if (skip()) {
    return;
  }
  if (user && !user.value) {
    user.value = query.get('username') || (userContext() || {}).name || '';
  }
  if (show) {
    show.hidden = false;
    show.addEventListener('click', showPasswords);
  }
  if (locale) {
    locale.addEventListener('change', function () {
      document.documentElement.lang = locale.value;
      document.querySelectorAll('[data-key]').forEach(function (each) { each.textContent = text(each.dataset.key); });
    });
  }
  form.addEventListener('submit', send);
  if (form.dataset.submit) {
    send();
  }
}());
