package rules

import (
	"go/ast"
	"regexp"
	"strings"
	"testing"
)

const (
	// maxWhat bounds the word "what" in a thousand words of comments: a noun
	// nearly always fits in its place, and tells the reader more.
	maxWhat = 3
	// minWords is the number of words of comments from which a package's share
	// is more than chance.
	minWords = 300
	// theWhole stands for all packages together.
	theWhole = "the whole"
)

var (
	// pronounHead is the beginning of a paragraph that names nothing. Readers of
	// `go doc`, and of a search's hits, see the paragraph without the text before.
	pronounHead = regexp.MustCompile(`(?i)^(it|one|what|who|whoever|that|this|those|they|these)\b`)
	wordOf      = regexp.MustCompile(`[A-Za-z'-]+`)
)

// TestCommentsBeginWithNouns: in a package's comment "It" may begin the later
// paragraphs, as in "It must not know …": there it is the package.
func TestCommentsBeginWithNouns(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		for _, c := range f.Comments {
			for i, p := range strings.Split(c.Text(), "\n\n") {
				ofPackage := c == f.Doc && i > 0 && strings.HasPrefix(p, "It ")
				if pronounHead.MatchString(p) && !ofPackage {
					t.Errorf("%s: %.60q begins with a pronoun: name the thing", f.at(c), p)
				}
			}
		}
	}
}

// count is the number of words of comments, and of the unwanted one among them.
type count struct{ unwanted, words int }

func (c *count) add(text string) {
	for _, w := range wordOf.FindAllString(text, -1) {
		c.words++
		if strings.EqualFold(w, "what") {
			c.unwanted++
		}
	}
}

func TestCommentsUseNouns(t *testing.T) {
	counts := map[string]*count{theWhole: {}}
	for _, f := range goFiles(t) {
		if counts[f.dir()] == nil {
			counts[f.dir()] = &count{}
		}
		for _, c := range f.Comments {
			counts[f.dir()].add(c.Text())
			counts[theWhole].add(c.Text())
		}
	}
	for name, c := range counts {
		if share := 1000 * float64(c.unwanted) / float64(c.words); c.words > minWords && share >= maxWhat {
			t.Errorf("%s: %.1f of a thousand words of comments are \"what\", which must be under %d: use nouns", name, share, maxWhat)
		}
	}
}

// TestExportedNamesHaveContracts: who uses a name of another package reads the
// comment in place of the code.
func TestExportedNamesHaveContracts(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() {
			continue
		}
		for _, d := range f.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment: say its contract", f.at(d), name)
			}
		}
	}
}

// undocumented returns the exported names of a declaration that have no comment
// of their own or, for constants and variables, of their group.
func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			names = append(names, undocumentedSpec(d, s)...)
		}
	}
	return names
}

func undocumentedSpec(d *ast.GenDecl, s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		alone := !d.Lparen.IsValid() && d.Doc != nil
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && !alone {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(typ ast.Expr) string {
	switch x := typ.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}
