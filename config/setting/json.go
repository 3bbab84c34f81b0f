package setting

// JSON is a value of any shape, as the text of a JSON document. Numbers keep the
// digits that they are written with; nil is no value.
type JSON []byte
