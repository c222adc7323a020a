// A page that fills in forms with the published form engine; bundled by esbuild, see tests/api/forms/enketo.py.
import { Form } from 'enketo-core';
import fileManager from 'enketo/file-manager';

// Shows a form and resolves to what the engine complains of.
window.openForm = async (html, model, record) => {
  document.body.innerHTML = html;
  const element = document.querySelector('form.or');
  window.form = new Form(element, { modelStr: model, instanceStr: record || undefined });
  const complaints = window.form.init();
  element.before(document.querySelector('#form-languages')); // as clients do: within the form it would count as a question
  return complaints;
};

// The record as it would be submitted, and the files that belong to it as [name, size].
window.submitted = async () => {
  const valid = await window.form.validate();
  const files = fileManager.getCurrentFiles();
  return { valid, xml: window.form.getDataStr({ irrelevant: false }), files: files.map((file) => [file.name, file.size]) };
};
