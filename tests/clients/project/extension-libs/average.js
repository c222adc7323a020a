module.exports = (first, second) => ({ t: "num", v: (first.v + second.v) / 2 });
