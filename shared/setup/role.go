package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/secret"
)

// RoleOptions say where a session token comes from: whether Clerk puts the claim role into them shows in a token alone. The
// zero value has none, and the step is [Unknown] until one was seen.
type RoleOptions struct {
	// User names the user of a development instance for whom a session may be opened, "" for none. It is called at most once;
	// nil: there is none, or the token comes from Token.
	User func(context.Context) (string, error)
	// Token has a session token, which a person has copied from an app, or zero for no other. refused is nil at first, and
	// then why the token of before does not do, which may be [ErrNotThisToken]; nil: there is none.
	Token func(ctx context.Context, refused error) (secret.Value, error)
	// Again is told what to do where a token of User's lacks the claim, and reports whether to look at another one; nil: not
	// in this run.
	Again func(ctx context.Context, what string) (bool, error)
	// Anew has a token looked at where one was seen with the claim before.
	Anew bool
}

// OpenedSession is a session that was opened, or was about to be. Neither id opens anything.
type OpenedSession struct {
	Instance string `json:"instance"`
	User     string `json:"user"`
	// ID is "" until Clerk has told it.
	ID string `json:"id,omitempty"`
	// Before are the user's sessions that there were.
	Before []string `json:"before,omitempty"`
	// At is when it was to be opened, on this machine's clock.
	At time.Time `json:"at"`
}

// is tells records of one session from others.
func (o OpenedSession) is(other OpenedSession) bool {
	return o.Instance == other.Instance && o.User == other.User && o.At.Equal(other.At)
}

// SeenRole is an instance whose session tokens have the claim role.
type SeenRole struct {
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// roleLook is what a run has found out.
type roleLook struct {
	// asked: whose token to look at, or the token itself, was asked for.
	asked bool
	user  string
	// judged: there was a token. lacking is what it lacks and what to do, "" for nothing; noted says that the state has it.
	judged, noted bool
	lacking       string
}

const (
	// openLimit bounds the opening of a session with all its attempts.
	openLimit = 2 * time.Minute
	// openSlack is how long after the noted moment a session may have been opened that no one has told the id of: the
	// attempts, and clocks that differ.
	openSlack = 10 * time.Minute
	// endLimit bounds the ending of a session, also after Ctrl-C.
	endLimit = 15 * time.Second
)

func (s *Setup) lookRole(ctx context.Context) (view, error) {
	found, err := s.learn(ctx)
	if err != nil {
		return view{}, err
	}
	state, err := s.State.Read()
	if err != nil {
		return view{}, err
	}
	var v view
	for _, opened := range state.Sessions {
		if opened.Instance == found.ID {
			v.writes = append(v.writes, write{
				"end the session that a run which was cut off had opened for the user " + opened.User,
				func(ctx context.Context) error { return s.end(ctx, opened) },
			})
		}
	}
	seen := slices.IndexFunc(state.Roles, func(r SeenRole) bool { return r.Instance == found.ID })
	if !s.role.judged && (seen < 0 || s.Role.Anew) {
		if err := s.ask(ctx, found); err != nil {
			return view{}, err
		}
	}
	switch {
	case s.role.lacking != "" && seen < 0:
		v.detail, v.open = s.role.lacking, Left
	case s.role.judged && !s.role.noted:
		what := "have"
		if v.detail = "the session token has the claim role: authenticated"; s.role.lacking != "" {
			v.detail, what = s.role.lacking, "do not have"
		}
		v.writes = append(v.writes, write{"note in .clerksync/setup.json that session tokens " + what + " the claim role", func(context.Context) error {
			return s.noteRole(found)
		}})
	case seen >= 0 && (s.role.judged || !s.Role.Anew || s.role.user == ""):
		v.detail = "a session token of " + state.Roles[seen].At.Format(time.DateOnly) + " had the claim role: authenticated"
	case s.role.user != "":
		v.detail = "no token of " + s.role.user + " was looked at yet"
		v.writes = append(v.writes, write{
			"open a session for the user " + s.role.user + " in Clerk, look for the claim role in its token, and end the session",
			func(ctx context.Context) error { return s.lookAtUser(ctx, found) },
		})
	default:
		v.detail, v.open = "no session token was looked at, so that it is not known whether they have the claim role; "+s.howToLook()+". "+jwtdiag.ActivateIntegration, Unknown
	}
	return v, nil
}

func (s *Setup) production() bool { return s.Clerk.Kind() == clerk.LiveInstance }

func (s *Setup) howToLook() string {
	if s.production() {
		return "--token-file takes one that was copied from the app"
	}
	return "--role-user names a user to look at one of"
}

// ask asks, once, for a token or for whose token to look at.
func (s *Setup) ask(ctx context.Context, found *instance) error {
	if s.role.asked {
		return nil
	}
	var err error
	switch {
	case s.Role.Token != nil:
		err = s.lookAtTokens(ctx, found)
	case s.Role.User != nil && !s.production():
		err = s.nameUser(ctx)
	}
	s.role.asked = err == nil
	return err
}

// nameUser asks whose token to look at.
func (s *Setup) nameUser(ctx context.Context) error {
	user, err := s.Role.User(ctx)
	if err != nil || user == "" {
		return err
	}
	if _, err = s.Clerk.User(ctx, user); err != nil {
		return fmt.Errorf("the user whose session token is to be looked at (an id, user_…, from the Users page of the Clerk dashboard): %w", err)
	}
	s.role.user = user
	return nil
}

// lookAtTokens judges what a person gives until it has the claim, or there is no other.
func (s *Setup) lookAtTokens(ctx context.Context, found *instance) error {
	for refused := error(nil); ; {
		token, err := s.Role.Token(ctx, refused)
		if err != nil || token.IsZero() {
			return err
		}
		lacking, err := s.judge(ctx, found, token)
		if err != nil {
			refused = err
			continue
		}
		if s.role.judged, s.role.lacking = true, lacking; lacking == "" {
			return nil
		}
		refused = errors.New(lacking)
	}
}

// ErrNotThisToken says that a token tells nothing of what the instance's session tokens are like.
var ErrNotThisToken = errors.New("this is not a session token of the instance")

// judge says what a token lacks and what to do about it, or "".
func (s *Setup) judge(ctx context.Context, found *instance, token secret.Value) (lacking string, err error) {
	report := jwtdiag.New(jwtdiag.Options{
		Issuer: s.issuer, InstanceID: found.ID, Keys: found.keys.Static(),
	}).Diagnose(ctx, jwtdiag.Request{Token: token.Reveal()})
	if report.Token.Kind != jwtdiag.Session {
		return "", fmt.Errorf("%w: it is %s", ErrNotThisToken, report.Token.Name)
	}
	for _, f := range report.Findings {
		switch f.ID {
		// That it has expired meanwhile does not matter: it says what tokens are like.
		case "signature", "claim.iss":
			if f.Status != finding.Pass {
				return "", fmt.Errorf("%w: %s", ErrNotThisToken, strings.ToLower(f.Title[:1])+f.Title[1:])
			}
		case "claim.role":
			if f.Status != finding.Pass {
				lacking = f.Title + ". " + f.Remedy
			}
		}
	}
	return lacking, nil
}

// noteRole notes what the last token was like.
func (s *Setup) noteRole(found *instance) error {
	if err := s.effect(func() error {
		return s.State.change(func(state *State) {
			state.Roles = slices.DeleteFunc(state.Roles, func(r SeenRole) bool { return r.Instance == found.ID })
			if s.role.lacking == "" {
				state.Roles = append(state.Roles, SeenRole{found.ID, time.Now().UTC().Truncate(time.Second)})
			}
		})
	}); err != nil {
		return err
	}
	s.role.noted = true
	return nil
}

// lookAtUser looks at tokens of a user until one has the claim, or there is to be no other.
func (s *Setup) lookAtUser(ctx context.Context, found *instance) error {
	for {
		token, err := s.mint(ctx, found, s.role.user)
		if err != nil {
			return err
		}
		lacking, err := s.judge(ctx, found, token)
		if err != nil {
			return err
		}
		s.role.judged, s.role.lacking = true, lacking
		if err := s.noteRole(found); err != nil || lacking == "" || s.Role.Again == nil {
			return err
		}
		again, err := s.Role.Again(ctx, lacking)
		if err != nil || !again {
			return err
		}
	}
}

// mint has Clerk make a token, of a session that is opened for it and ended in any case. What is about to happen is noted
// first, so that an end of the program in the middle leaves no session that the next run does not find.
func (s *Setup) mint(ctx context.Context, found *instance, user string) (token secret.Value, err error) {
	opened := OpenedSession{Instance: found.ID, User: user, At: time.Now().UTC()}
	live, err := s.liveSessions(ctx, user)
	if err != nil {
		return secret.Value{}, err
	}
	for _, session := range live {
		opened.Before = append(opened.Before, session.ID)
	}
	if err := s.noteSession(opened); err != nil {
		return secret.Value{}, err
	}
	defer func() {
		if ended := s.end(ctx, opened); ended != nil {
			err = errors.Join(err, fmt.Errorf("%w; the session may be open still: the next run ends it", ended))
		}
	}()
	writer := clerk.NewProvisioner(s.Clerk)
	if err := s.effect(func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, openLimit, fmt.Errorf("opening a session took longer than %s", openLimit))
		defer cancel()
		session, err := writer.CreateSession(ctx, user)
		opened.ID = session.ID
		return err
	}); err != nil {
		return secret.Value{}, err
	}
	if err := s.noteSession(opened); err != nil {
		return secret.Value{}, err
	}
	err = s.effect(func() error {
		token, err = writer.SessionToken(ctx, opened.ID)
		return err
	})
	return token, err
}

func (s *Setup) noteSession(opened OpenedSession) error {
	return s.effect(func() error {
		return s.State.change(func(state *State) {
			state.Sessions = append(slices.DeleteFunc(state.Sessions, opened.is), opened)
		})
	})
}

// end ends a session that was opened, also where ctx has ended, and forgets it.
func (s *Setup) end(ctx context.Context, opened OpenedSession) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endLimit, fmt.Errorf("ending a session took longer than %s", endLimit))
	defer cancel()
	ids, err := s.openedIDs(ctx, opened)
	if err != nil {
		return err
	}
	writer := clerk.NewProvisioner(s.Clerk)
	for _, id := range ids {
		if err := s.effect(func() error {
			_, err := writer.RevokeSession(ctx, id)
			if errors.Is(err, clerk.ErrNotFound) {
				return nil // it has ended
			}
			return err
		}); err != nil {
			return err
		}
	}
	return s.effect(func() error {
		return s.State.change(func(state *State) { state.Sessions = slices.DeleteFunc(state.Sessions, opened.is) })
	})
}

// openedIDs are the id that is known, or those of the sessions that came into being when one was to be opened.
func (s *Setup) openedIDs(ctx context.Context, opened OpenedSession) ([]string, error) {
	if opened.ID != "" {
		return []string{opened.ID}, nil
	}
	live, err := s.liveSessions(ctx, opened.User)
	var ids []string
	for _, session := range live {
		if !slices.Contains(opened.Before, session.ID) && session.CreatedAt.Time().Before(opened.At.Add(openSlack)) {
			ids = append(ids, session.ID)
		}
	}
	return ids, err
}

func (s *Setup) liveSessions(ctx context.Context, user string) ([]clerk.Session, error) {
	sessions, err := s.Clerk.Sessions(ctx, user)
	return slices.DeleteFunc(sessions, func(session clerk.Session) bool { return !session.Live() }), err
}
