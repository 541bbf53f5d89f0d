// Where a text stops being JSON: the same strictness as the server's, duplicate keys included.

class Wrong extends Error {
  constructor(index, message) {
    super(message);
    this.index = index;
  }
}

const SPACE = /[ \t\n\r]*/y; // and no other: a space that a word processor or a web page made is none
const TOKENS = /[ \t\n\r]*(?:([{}[\]:,])|("(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|true\b|false\b|null\b))/y;

const DEPTH = 64; // of a payload, as the server has it

class Reader {
  constructor(text) {
    this.text = text;
    this.end = this.depth = 0;
    this.read();
  }

  /** Steps to the next token; "" at the end of the text. */
  read() {
    TOKENS.lastIndex = this.end;
    const match = TOKENS.exec(this.text);
    SPACE.lastIndex = this.end;
    this.start = this.end + SPACE.exec(this.text)[0].length;
    if (!match && this.start < this.text.length) throw new Wrong(this.start, unreadable(this.text.slice(this.start)));
    this.token = match ? match[1] ?? match[2] ?? match[3] : "";
    this.end = match ? TOKENS.lastIndex : this.text.length;
  }

  expect(token, instead) {
    if (this.token !== token) throw new Wrong(this.start, this.token ? instead : "The text ends too early");
    this.read();
  }

  value() {
    if (this.token === "{") return this.list("}", () => this.member(new Set()));
    if (this.token === "[") return this.list("]", () => () => this.value());
    if (this.token === "" || "}]:,".includes(this.token)) {
      throw new Wrong(this.start, this.token ? `A value is expected here, not ${this.token}` : "The text ends too early");
    }
    return this.read();
  }

  list(close, items) {
    const item = items();
    if (++this.depth > DEPTH) throw new Wrong(this.start, `Brackets stand in brackets more than ${DEPTH} deep`);
    this.read();
    if (this.token === close) return this.closed();
    for (;;) {
      item();
      if (this.token === close) return this.closed();
      this.expect(",", `A comma or ${close} is expected here`);
    }
  }

  closed() {
    this.depth--;
    this.read();
  }

  member(keys) {
    return () => {
      if (!this.token.startsWith('"')) throw new Wrong(this.start, "A key in double quotes is expected here");
      const key = JSON.parse(this.token);
      if (keys.has(key)) throw new Wrong(this.start, `The key ${this.token} is there twice`);
      keys.add(key);
      this.read();
      this.expect(":", "A colon is expected after the key");
      this.value();
    };
  }
}

function unreadable(rest) {
  if (rest.startsWith('"')) return "This text in quotes does not end well";
  if (rest.startsWith("'")) return "Text stands in double quotes";
  if (/^\s/.test(rest)) return "This is no plain space: type one";
  return `${/^[\w.+-]+|./u.exec(rest)[0]} is no JSON`;
}

/** Null for JSON, else {index, line, column, message} of the first problem. */
export function lint(text) {
  try {
    const reader = new Reader(text);
    reader.value();
    if (reader.token) throw new Wrong(reader.start, "The value has ended before this");
    return null;
  } catch (wrong) {
    if (!(wrong instanceof Wrong)) throw wrong;
    const before = text.slice(0, wrong.index).split("\n");
    return { index: wrong.index, line: before.length, column: before.at(-1).length + 1, message: wrong.message };
  }
}
