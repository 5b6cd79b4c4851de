// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample has a member of every kind.
type sample struct {
	Text  *string
	Int   *int64
	Float *float64
	Flag  *bool
	Time  *time.Time
	Blob  []byte
	List  []string
	Map   map[string]string
	Inner *sample
	Many  []*sample
}

func (v *sample) DecodeJSON(r *JSONReader) {
	for name := range r.Members() {
		switch name {
		case "Text":
			v.Text = ReadValue(r, (*JSONReader).String)
		case "Int":
			v.Int = ReadValue(r, (*JSONReader).Int)
		case "Float":
			v.Float = ReadValue(r, (*JSONReader).Float)
		case "Flag":
			v.Flag = ReadValue(r, (*JSONReader).Bool)
		case "Time":
			v.Time = ReadValue(r, (*JSONReader).Time)
		case "Blob":
			v.Blob = ReadBlob(r)
		case "List":
			v.List = ReadList(r, (*JSONReader).String)
		case "Map":
			v.Map = ReadMap(r, (*JSONReader).String)
		case "Inner":
			v.Inner = ReadObject(r, (*sample).DecodeJSON)
		case "Many":
			v.Many = ReadList(r, ReadStruct((*sample).DecodeJSON))
		default:
			r.Skip()
		}
	}
}

func (v *sample) AppendJSON(b []byte) []byte {
	b = OpenObject(b)
	b = WriteValue(b, "Text", v.Text, AppendString)
	b = WriteValue(b, "Int", v.Int, AppendInt)
	b = WriteValue(b, "Float", v.Float, AppendFloat)
	b = WriteValue(b, "Flag", v.Flag, AppendBool)
	b = WriteValue(b, "Time", v.Time, AppendTime)
	b = WriteBlob(b, "Blob", v.Blob)
	b = WriteList(b, "List", v.List, AppendString)
	b = WriteMap(b, "Map", v.Map, AppendString)
	b = WriteObject(b, "Inner", v.Inner, (*sample).AppendJSON)
	b = WriteList(b, "Many", v.Many, AppendStruct((*sample).AppendJSON))
	return CloseObject(b)
}

func decodeSample(text string) (*sample, error) {
	v := new(sample)
	return v, readJSON([]byte(text), v.DecodeJSON)
}

func TestJSONReadsWhatClientsSend(t *testing.T) {
	at := time.Date(2017, 11, 20, 6, 55, 8, 513e6, time.UTC)
	for text, want := range map[string]sample{
		``:                               {},
		` { } `:                          {},
		`null`:                           {},
		`{"Text":null,"List":null}`:      {},
		`{"Text":"a\u00e9\ud83d\ude00"}`: {Text: new("aé😀")},
		`{"Text":"\"\\\/\b\f\n\r\t"}`:    {Text: new("\"\\/\b\f\n\r\t")},
		`{"text":"other case"}`:          {},
		`{"New":[{"a":[1,null,"x",true,-1.5e3]}],"Int":7}`: {Int: new(int64(7))},
		`{"Int":-2147483648}`:                              {Int: new(int64(math.MinInt32))},
		`{"Float":1e3}`:                                    {Float: new(1000.0)},
		`{"Flag":false}`:                                   {Flag: new(false)},
		`{"Time":1511160908.513}`:                          {Time: new(at)},
		`{"Time":1.511160908513e9}`:                        {Time: new(at)},
		`{"Time":1511160908}`:                              {Time: new(at.Truncate(time.Second))},
		`{"Time":-0.5}`:                                    {Time: new(time.Unix(-1, 5e8).UTC())},
		`{"Blob":""}`:                                      {Blob: []byte{}},
		`{"Blob":"aGk="}`:                                  {Blob: []byte("hi")},
		`{"List":[]}`:                                      {List: []string{}},
		`{"Map":{"":"empty","k":"v"}}`:                     {Map: map[string]string{"": "empty", "k": "v"}},
		`{"Many":[{},{"Inner":{"Int":1}}]}`:                {Many: []*sample{{}, {Inner: &sample{Int: new(int64(1))}}}},
	} {
		got, err := decodeSample(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestJSONRefusesMalformed(t *testing.T) {
	deep := strings.Repeat(`{"Inner":`, maxDepth+1) + "1"
	for text, want := range map[string]string{
		`{`:                                      "member name",
		`{"Int":1`:                               "comma",
		`{"Int":1,}`:                             "member name",
		`{"Int" 1}`:                              "colon",
		`{"Int":1}x`:                             "after the value",
		`{"Int":1,"Int":2}`:                      "duplicate",
		`{"x":1,"x":2}`:                          "duplicate",
		`[]`:                                     "START_ARRAY can not be converted to an object",
		`{"Int":"1"}`:                            "STRING_VALUE can not be converted to an Integer",
		`{"Int":1.5}`:                            "Integer",
		`{"Int":2147483648}`:                     "Integer",
		`{"Int":01}`:                             "",
		`{"Int":+1}`:                             "",
		`{"Float":.5}`:                           "Double",
		`{"Float":1e999}`:                        "Double",
		`{"Float":NaN}`:                          "Double",
		`{"Flag":"true"}`:                        "STRING_VALUE can not be converted to a Boolean",
		`{"Flag":1}`:                             "Boolean",
		`{"Text":1}`:                             "NUMBER_VALUE can not be converted to a String",
		`{"Text":"` + "\x80" + `"}`:              "UTF-8",
		`{"Text":"a\n` + "\xff" + `"}`:           "UTF-8",
		`{"Text":"\ud800"}`:                      "surrogate",
		`{"Text":"\ud800\u0041"}`:                "surrogate",
		`{"Text":"\udc00"}`:                      "surrogate",
		`{"Text":"\x"}`:                          "escape",
		`{"Text":"\u12g4"}`:                      "hexadecimal",
		"{\"Text\":\"a\nb\"}":                    "control",
		`{"Text":"open`:                          "closed",
		`{"Text":"open\`:                         "closed",
		`{"Blob":"a"}`:                           "base64",
		`{"Blob":"aGk"}`:                         "base64",
		`{"Time":"2020-01-01"}`:                  "Timestamp",
		`{"Time":1e300}`:                         "Timestamp",
		`{"List":["a",null]}`:                    "NULL_VALUE",
		`{"List":["a",1]}`:                       "String",
		`{"List":"a"}`:                           "a list",
		`{"Map":{"k":null}}`:                     "NULL_VALUE",
		`{"Map":{"k":"1","k":"2"}}`:              "duplicate",
		`{"New":tru}`:                            "token",
		deep:                                     "deep",
		strings.Repeat("[", 100_000):             "object",
		`{"New":` + strings.Repeat("[", 100_000): "deep",
	} {
		_, err := decodeSample(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestJSONManyMembersAreCheckedForDuplicates(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"Map":{`)
	for i := range 5000 {
		b.Write(AppendString(nil, time.Duration(i).String()))
		b.WriteString(`:"",`)
	}
	text := b.String()
	if _, err := decodeSample(text + `"new":""}}`); err != nil {
		t.Error(err)
	}
	if _, err := decodeSample(text + `"4.999µs":""}}`); err == nil {
		t.Error("a duplicate among many passed")
	}
}

func TestJSONWrites(t *testing.T) {
	for _, c := range []struct {
		v    sample
		want string
	}{
		{sample{}, `{}`},
		{sample{Text: new("é\"\\\n\x01<&>\u2028")}, `{"Text":"é\"\\\n\u0001\u003c\u0026\u003e\u2028"}`},
		{sample{Text: new("bad\xff")}, "{\"Text\":\"bad\uFFFD\"}"},
		{sample{List: []string{}, Map: map[string]string{}, Blob: []byte{}}, `{"Blob":"","List":[],"Map":{}}`},
		{sample{Map: map[string]string{"b": "2", "a": "1"}}, `{"Map":{"a":"1","b":"2"}}`},
		{sample{Time: new(time.UnixMilli(1511852108513))}, `{"Time":1511852108.513}`},
		{sample{Time: new(time.UnixMilli(1511852108003))}, `{"Time":1511852108.003}`},
		{sample{Time: new(time.Unix(1511852108, 0))}, `{"Time":1511852108}`},
		{sample{Time: new(time.UnixMilli(-1500))}, `{"Time":-1.500}`},
		{sample{Float: new(math.Inf(1)), Int: new(int64(-1)), Flag: new(true)}, `{"Int":-1,"Float":0,"Flag":true}`},
		{sample{Many: []*sample{nil, {Inner: &sample{}}}}, `{"Many":[{},{"Inner":{}}]}`},
	} {
		if got := string(c.v.AppendJSON(nil)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

// FuzzJSONReader: what is accepted is JSON by another parser's judgement too, and
// writing and reading it again changes nothing.
func FuzzJSONReader(f *testing.F) {
	for _, seed := range []string{
		`{"Text":"a\u00e9","Int":1,"Float":1.5,"Flag":true,"Time":1.5,"Blob":"aGk=","List":["x"],"Map":{"k":"v"},"Inner":{"Many":[{}]},"New":[null]}`,
		`{"Text":"\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"New":{"x":[[]]}}`, ` null `, `{"Time":-0.001}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := new(sample)
		if len(data) == 0 || readJSON(data, v.DecodeJSON) != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted %q", data)
		}
		if v.Time != nil {
			v.Time = new(v.Time.Truncate(time.Millisecond))
			if v.Time.UnixMilli() < 0 {
				v.Time = nil // below the epoch milliseconds round the other way
			}
		}
		again := new(sample)
		if err := readJSON(v.AppendJSON(nil), again.DecodeJSON); err != nil {
			t.Fatal(err)
		}
		if string(again.AppendJSON(nil)) != string(v.AppendJSON(nil)) {
			t.Fatalf("%s became %s", v.AppendJSON(nil), again.AppendJSON(nil))
		}
	})
}

func BenchmarkJSONReader(b *testing.B) {
	data := []byte(`{"Text":"arn:aws:kms:us-east-1:000000000000:key/1234","Blob":"aGVsbG8gd29ybGQ=","Map":{"aws:kinesisvideo:arn":"arn:aws:kinesisvideo"}}`)
	b.ReportAllocs()
	for b.Loop() {
		v := new(sample)
		if err := readJSON(data, v.DecodeJSON); err != nil {
			b.Fatal(err)
		}
	}
}
