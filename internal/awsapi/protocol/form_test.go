// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"encoding/xml"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (v *sample) DecodeForm(f *Form) {
	v.Text = FormValue(f, "Text", FormString)
	v.Int = FormValue(f, "Int", FormInt)
	v.Float = FormValue(f, "Float", FormFloat)
	v.Flag = FormValue(f, "Flag", FormBool)
	v.Time = FormValue(f, "Time", FormTime)
	v.Blob = FormBlob(f, "Blob")
	v.List = FormList(f, "List", "member", FormString)
	v.Map = FormMap(f, "Map", "key", "value", FormString)
	v.Inner = FormObject(f, "Inner", (*sample).DecodeForm)
	v.Many = FormList(f, "Many", "member", FormStruct((*sample).DecodeForm))
}

func (v *sample) AppendXML(b []byte) []byte {
	b = XMLValue(b, "Text", v.Text, AppendText)
	b = XMLValue(b, "Int", v.Int, XMLInt)
	b = XMLValue(b, "Float", v.Float, XMLFloat)
	b = XMLValue(b, "Flag", v.Flag, XMLBool)
	b = XMLValue(b, "Time", v.Time, XMLTime)
	b = XMLBlob(b, "Blob", v.Blob)
	b = XMLList(b, "List", "member", v.List, AppendText)
	b = XMLMap(b, "Map", "key", "value", v.Map, AppendText)
	b = XMLObject(b, "Inner", v.Inner, (*sample).AppendXML)
	return XMLList(b, "Many", "member", v.Many, XMLStruct((*sample).AppendXML))
}

func decodeForm(text string) (*sample, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, err
	}
	form, err := ParseForm(values)
	if err != nil {
		return nil, err
	}
	v := new(sample)
	v.DecodeForm(form)
	return v, form.Err()
}

func TestFormReadsWhatClientsSend(t *testing.T) {
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]sample{
		"":                              {},
		"Action=X&Version=1&Other=2":    {},
		"Text=":                         {Text: new("")},
		"Text=a%2Bb+c":                  {Text: new("a+b c")},
		"Int=42&Flag=True":              {Int: new(int64(42)), Flag: new(true)},
		"Time=2020-01-02T03%3A04%3A05Z": {Time: new(at)},
		"Time=2020-01-02T05%3A04%3A05.000%2B02:00": {Time: new(at)},
		"Blob=aGk%3D": {Blob: []byte("hi")},
		"List=":       {List: []string{}},
		"List.member.2=b&List.member.10=c&List.member.1=a":                       {List: []string{"a", "b", "c"}},
		"Map.entry.1.key=k&Map.entry.1.value=v":                                  {Map: map[string]string{"k": "v"}},
		"Inner.Text=x&Inner.Inner.Int=1":                                         {Inner: &sample{Text: new("x"), Inner: &sample{Int: new(int64(1))}}},
		"Many.member.1.Text=x&Many.member.1.List.member.1=y&Many.member.2.Int=2": {Many: []*sample{{Text: new("x"), List: []string{"y"}}, {Int: new(int64(2))}}},
	} {
		got, err := decodeForm(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func TestFormRefusesMalformed(t *testing.T) {
	for _, text := range []string{
		"Text=a&Text=b", "Int=x", "Int=", "Int=2147483648", "Flag=yes", "Time=yesterday", "Blob=%21",
		"List.member.0=a", "List.member.01=a", "List.member.x=a", "List.member.-1=a", "List.member.1.x=a",
		"Map.entry.1.key=k", "Map.entry.1.key=k&Map.entry.1.value=1&Map.entry.2.key=k&Map.entry.2.value=2",
		"Text=%ff", "%ff=x", "Inner" + strings.Repeat(".a", maxFormDepth+1) + "=x",
	} {
		if v, err := decodeForm(text); err == nil {
			t.Errorf("%.60s was read as %+v", text, v)
		}
	}
}

func TestFormBoundsParameters(t *testing.T) {
	values := url.Values{}
	for i := range maxFormFields + 1 {
		values.Set(time.Duration(i).String(), "")
	}
	if _, err := ParseForm(values); err == nil {
		t.Error("any number of parameters is taken")
	}
}

func FuzzForm(f *testing.F) {
	f.Add("Text=a&List.member.1=b&Many.member.1.Map.entry.1.key=k&Many.member.1.Map.entry.1.value=v&Inner.Int=1")
	f.Add("List=&Time=2020-01-02T03:04:05Z&Blob=aGk=")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decodeForm(text)
		if err != nil {
			return
		}
		doc := append(v.AppendXML([]byte("<R>")), "</R>"...)
		if err := xml.Unmarshal(doc, new(struct{})); err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
	})
}

func TestXMLWrites(t *testing.T) {
	for _, c := range []struct {
		v    sample
		want string
	}{
		{sample{}, ""},
		{sample{Text: new("<a&\"b\">\r\n\x00é")}, "<Text>&lt;a&amp;&quot;b&quot;&gt;&#xD;\n\uFFFDé</Text>"},
		{sample{List: []string{}}, "<List></List>"},
		{sample{List: []string{"a", "b"}}, "<List><member>a</member><member>b</member></List>"},
		{sample{Map: map[string]string{"k": "v"}}, "<Map><entry><key>k</key><value>v</value></entry></Map>"},
		{sample{Time: new(time.Unix(1577934245, 0))}, "<Time>2020-01-02T03:04:05Z</Time>"},
		{sample{Time: new(time.UnixMilli(1577934245678))}, "<Time>2020-01-02T03:04:05.678Z</Time>"},
		{sample{Blob: []byte("hi"), Flag: new(false), Int: new(int64(3))}, "<Int>3</Int><Flag>false</Flag><Blob>aGk=</Blob>"},
		{sample{Many: []*sample{{Inner: &sample{}}}}, "<Many><member><Inner></Inner></member></Many>"},
	} {
		if got := string(c.v.AppendXML(nil)); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
