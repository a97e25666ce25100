package rls_test

import (
	"errors"
	"fmt"

	"clerksync/shared/rls"
)

func ExampleParseRule() {
	for _, text := range []string{
		"published or owner",
		"member(admin) or owner",
		"ownr",
	} {
		rule, err := rls.ParseRule(text)
		switch {
		case errors.Is(err, rls.ErrRule):
			fmt.Println("refused:", err)
		default:
			fmt.Println("understood:", rule)
		}
	}
	// Output:
	// understood: published or owner
	// understood: member(org:admin) or owner
	// refused: not a rule: "ownr": there is no rule "ownr"; there are owner, fellow, member, permission, active-org, active-permission, app-role, published, signed-in, everyone, nobody
}

func ExampleWords() {
	for _, word := range rls.Words()[:3] {
		fmt.Printf("%s: %s\n", word.Name, word.Means)
	}
	// Output:
	// owner: the row's owner column holds the caller's Clerk id
	// fellow: the caller is the row's owner or shares an organization with the owner
	// member: the caller belongs to the row's organization, with one of the roles if some are named; from the copy
}
