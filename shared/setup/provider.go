package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/supabase/management"
)

func (s *Setup) lookProvider(ctx context.Context) (view, error) {
	found, err := s.learn(ctx)
	if err != nil {
		return view{}, err
	}
	list, err := s.Supabase.ThirdPartyAuth(ctx, s.Project)
	if err != nil {
		return view{}, err
	}
	var ours, others []management.ThirdPartyAuth
	for _, p := range list {
		switch {
		case strings.TrimSuffix(p.OIDCIssuerURL, "/") == s.issuer:
			ours = append(ours, p)
		case p.Type == "clerk":
			others = append(others, p)
		}
	}
	// Of two the older one stays: two people who register at once then agree on it.
	slices.SortFunc(ours, func(a, b management.ThirdPartyAuth) int {
		return cmp.Or(a.InsertedAt.Compare(b.InsertedAt), strings.Compare(a.ID, b.ID))
	})
	v := view{detail: "the project trusts " + s.issuer + " and has its keys"}
	var remove []write
	if s.ReplaceProviders {
		for _, other := range others {
			remove = append(remove, s.unregister(other, "have the project trust "+other.OIDCIssuerURL+" no longer"))
		}
	} else if len(others) > 0 {
		v.detail += fmt.Sprintf("; it also trusts %s, which --replace-provider would end", issuers(others))
	}
	switch {
	case len(ours) == 0:
		v.writes = append([]write{{"register " + s.issuer + " as third-party provider of the project", s.register}}, remove...)
		v.detail = "the project does not trust " + s.issuer
		return v, nil
	case len(ours) > 1:
		v.writes = append(v.writes, s.unregister(ours[1], "remove a second registration of "+s.issuer))
		return v, nil
	}
	// What is no key set yet has none.
	resolved, _ := keyset.Parse(ours[0].ResolvedJWKS)
	if slices.ContainsFunc(found.keys.Keys, func(k keyset.Key) bool { return !resolved.Holds(k) }) {
		v.waiting = "Supabase has not fetched the instance's keys yet; that takes moments after a registration and up to half an hour after a rotation. " +
			"If it stays so, open " + s.issuer + "/.well-known/openid-configuration in a browser: it has to answer. Running this again goes on from here"
		return v, nil
	}
	v.writes = remove
	return v, nil
}

func issuers(list []management.ThirdPartyAuth) string {
	var names []string
	for _, p := range list {
		names = append(names, cmp.Or(p.OIDCIssuerURL, p.JWKSURL, p.ID))
	}
	return strings.Join(names, ", ")
}

// register notes what it is about to make, so that an end in the middle leaves nothing that is not known.
func (s *Setup) register(ctx context.Context) error {
	if err := s.effect(func() error { return s.State.record(MadeProvider{s.Project, s.issuer}) }); err != nil {
		return err
	}
	return s.effect(func() error {
		_, err := s.Supabase.Register(ctx, s.Project, management.Registration{OIDCIssuerURL: s.issuer})
		return err
	})
}

func (s *Setup) unregister(p management.ThirdPartyAuth, what string) write {
	return s.unregisterFrom(s.Project, p, what)
}

func (s *Setup) unregisterFrom(project string, p management.ThirdPartyAuth, what string) write {
	return write{what, func(ctx context.Context) error {
		return s.effect(func() error {
			err := s.Supabase.Unregister(ctx, project, p.ID)
			if errors.Is(err, management.ErrNotFound) {
				return nil // it was removed meanwhile
			}
			return err
		})
	}}
}
