"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const find = (id) => document.getElementById(id);
const decimal = (value) => (value === null ? "not asked" : value.toFixed(3));
