/* The login page without reloading it. Everything here only improves on what the plain form does. */
(function () {
  'use strict';

  var form = document.getElementById('form');
  var user = document.getElementById('user');
  var password = document.getElementById('password');
  var locale = document.getElementById('locale');
  var show = document.getElementById('show');
  var submit = document.getElementById('submit');
  var error = document.getElementById('error');
  var query = new URLSearchParams(window.location.search);
  var translations = JSON.parse(decodeURIComponent(document.body.dataset.translations));

  function cookie(name) {
    var found = document.cookie.split('; ').filter(function (part) { return part.indexOf(name + '=') === 0; })[0];
    return found && decodeURIComponent(found.slice(name.length + 1));
  }

  function text(key) {
    var texts = translations[locale ? locale.value : document.documentElement.lang] || {};
    return texts[key] || key;
  }

  function fail(key) {
    error.dataset.key = key;
    error.textContent = text(key);
    error.hidden = false;
    submit.disabled = false;
  }

  /* Somebody who is logged in goes on, unless told to log in again. */
  function skip() {
    var context = cookie('userCtx');
    if (!context || cookie('login') === 'force') {
      return false;
    }
    try {
      window.location.replace(sameHost(query.get('redirect')) || JSON.parse(context).home || '/');
      return true;
    } catch (notJson) {
      return false;
    }
  }

  function sameHost(redirect) {
    if (!redirect) {
      return null;
    }
    var url = new URL(redirect, window.location.origin);
    return url.origin === window.location.origin ? url.pathname + url.search + url.hash : null;
  }

  /* A redirect made for one user is not followed by another. */
  function redirectFor(name) {
    var meantFor = query.get('username');
    return !meantFor || meantFor === name ? query.get('redirect') : null;
  }

  function logIn(event) {
    event.preventDefault();
    submit.disabled = true;
    error.hidden = true;
    var name = user.value.trim().toLowerCase();
    var body = { user: name, password: password.value, redirect: redirectFor(name), locale: locale && locale.value };
    fetch(form.action, {
      method: 'POST',
      credentials: 'same-origin',
      headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
      body: JSON.stringify(body)
    }).then(function (response) {
      if (response.status === 401) {
        return fail('login.incorrect');
      }
      if (response.status !== 302) {
        return fail('login.error');
      }
      return response.text().then(function (target) { window.location.assign(target); });
    }).catch(function () {
      fail('login.offline');
    });
  }

  if (skip()) {
    return;
  }
  user.value = user.value || query.get('username') || '';
  show.hidden = false;
  show.addEventListener('click', function () {
    password.type = password.type === 'password' ? 'text' : 'password';
    show.dataset.key = password.type === 'password' ? 'login.show_password' : 'login.hide_password';
    show.textContent = text(show.dataset.key);
  });
  if (locale) {
    locale.addEventListener('change', function () {
      document.documentElement.lang = locale.value;
      document.querySelectorAll('[data-key]').forEach(function (each) { each.textContent = text(each.dataset.key); });
    });
  }
  form.addEventListener('submit', logIn);
}());
