package doctor

// checks are in the order of dependence: what stands later hangs on nothing that stands
// below it, so that the first failure is a cause.
var checks = []check{
	{
		id: "config.settings", about: "the settings that the functions and this program read",
		why: "A setting that is missing or malformed stops every function at its start.",
		run: checkSettings,
	},
	{
		id: "clerk.keys", about: "whether the secret and the publishable key are of one kind of instance",
		why:   "With keys of a development and a production instance, the users of one are copied and the tokens of the other are refused.",
		needs: []string{"config.settings"}, run: checkKeys,
	},
	{
		id: "clerk.api", about: "whether Clerk's Backend API can be reached",
		why:   "Full syncs read it. Webhooks come without it.",
		needs: []string{"clerk.keys"}, run: checkClerk,
	},
	{
		id: "clerk.secret_key", about: "whether Clerk takes the secret key",
		why:   "A key that was deleted or rotated stops full syncs, and nothing else tells of it before they are overdue.",
		needs: []string{"clerk.api"}, run: checkSecretKey,
	},
	{
		id: "clerk.budget", about: "whether the instance's rate limit has room",
		why:   "The limit counts all keys of an instance together: a script of the team's can starve the full sync, and the other way round.",
		needs: []string{"clerk.api"}, run: checkBudget,
	},
	{
		id: "clerk.clock", about: "this machine's clock, beside Clerk's",
		why:   "Signatures of webhooks are refused beyond five minutes, tokens beyond seconds.",
		needs: []string{"clerk.api"}, run: checkClock,
	},
	{
		id: "clerk.instance", about: "whether the secret key is of the instance that is pinned",
		why:   "A copy that mixes two instances cannot be taken apart again.",
		needs: []string{"clerk.secret_key"}, run: checkInstance,
	},
	{
		id: "jwks.fetch", about: "whether the instance's domain serves its key set",
		why:   "Supabase and every verifier fetch it. A production domain serves nothing before its DNS records are verified.",
		needs: []string{"config.settings"}, run: checkKeySet,
	},
	{
		id: "jwks.keys", about: "whether tokens can be verified with the key set",
		why:   "Without a usable key every token is refused.",
		needs: []string{"jwks.fetch"}, run: checkPublicKeys,
	},
	{
		id: "clerk.publishable_key", about: "whether the published keys are those of the secret key's instance",
		why:   "Two development instances look alike: users of one are copied, and tokens of the other are refused.",
		needs: []string{"jwks.keys", "clerk.secret_key"}, run: checkPublishableKey,
	},
	{
		id: "supabase.token", about: "whether Supabase's Management API takes the access token",
		why:   "It tells whether the project is up and whom it trusts. Nothing at run time needs it.",
		needs: []string{"config.settings"}, run: checkAccessToken,
	},
	{
		id: "supabase.project", about: "whether the project is there, and up",
		why:   "A project that is paused or being restored answers nothing, and its pooler knows it no more.",
		needs: []string{"supabase.token"}, run: checkProject,
	},
	{
		id: "supabase.provider", about: "whether the project trusts the instance, and no other",
		why:   "Without third-party auth every request of the application is refused.",
		needs: []string{"supabase.project"}, run: checkProvider,
	},
	{
		id: "supabase.provider_keys", about: "whether Supabase has the instance's current keys",
		why:   "It fetches them by itself, up to half an hour after a rotation, and keeps what it has where it cannot.",
		needs: []string{"supabase.provider", "jwks.keys"}, run: checkProviderKeys,
	},
	{
		id: "token.role", about: "a session token, and as which role the Data API takes it",
		why:   "Without the claim role every request runs as anon, for which nothing is visible.",
		needs: []string{"jwks.keys"}, run: checkToken,
	},
	{
		id: "database.connection", about: "whether DATABASE_URL leads to a database",
		why:   "Everything is in it.",
		needs: []string{"config.settings"}, run: checkConnection,
	},
	{
		id: "database.tls", about: "whether the connection is encrypted, and to the right server",
		why:   "Supabase's own certificate authority is not among a system's, so it has to be named.",
		needs: []string{"database.connection"}, run: checkEncryption,
	},
	{
		id: "database.pooler", about: "how connections are pooled",
		why:   "Functions come in bursts, each with a connection of its own; only a transaction pooler has enough.",
		needs: []string{"database.connection"}, run: checkPooler,
	},
	{
		id: "database.login", about: "what the login of DATABASE_URL may do",
		why:   "A function's string that leaks should open a few functions, not the whole project.",
		needs: []string{"database.connection"}, run: checkLogin,
	},
	{
		id: "database.migrations", about: "whether the database is as this version migrates it",
		why:   "Functions of another version than their database's fail, or worse, do not.",
		needs: []string{"database.connection"}, run: checkMigrations,
	},
	{
		id: "database.rights", about: "whether row level security, policies and grants are as migrated",
		why:   "One statement in the SQL editor is enough to show every user to everybody.",
		needs: []string{"database.migrations"}, run: checkRights,
	},
	{
		id: "database.instance", about: "whether the copy is of the secret key's instance",
		why:   "A full sync with another instance's key is refused, and webhooks of another are rejected.",
		needs: []string{"database.migrations", "clerk.secret_key"}, run: checkOwnInstance,
	},
	{
		id: "supabase.exposed", about: "which schemas the Data API serves",
		why:   "Tables of a private schema that is exposed can be asked for by anybody with the publishable key.",
		needs: []string{"supabase.project"}, after: []string{"database.migrations"}, run: checkExposed,
	},
	{
		id: "rls.lint", about: "policies and grants of your own tables",
		why:   "A table of the exposed schema without policies is open to everybody, or closed to everybody.",
		needs: []string{"database.connection"}, run: checkLint,
	},
	{
		id: "rls.probe", about: "what every kind of caller may do with each exposed table", deep: true,
		why:   "Policies are tried, not read.",
		needs: []string{"database.migrations"}, run: checkProbe,
	},
	{
		id: "supabase.advisors", about: "what Supabase's own security advisors say of the project",
		why:   "They know things that no statement shows, such as the version of Postgres and the settings of the platform.",
		needs: []string{"supabase.project"}, run: checkAdvisors,
	},
	{
		id: "sync.run", about: "when everything was last synced, and how that ended",
		why:   "What a webhook loses stays lost until the next full sync.",
		needs: []string{"database.migrations"}, run: checkFullSync,
	},
	{
		id: "sync.version", about: "whether the functions are of this program's version",
		why:   "Functions of another version apply other rules than the ones this program has migrated and explains.",
		needs: []string{"sync.run"}, run: checkVersion,
	},
	{
		id: "webhook.freshness", about: "whether webhooks have come for what has changed in Clerk",
		why:   "An endpoint that was deleted, disabled or never subscribed is silent.",
		needs: []string{"sync.run", "database.instance"}, run: checkFreshness,
	},
	{
		id: "webhook.rejected", about: "events of the last day that were rejected",
		why:   "They were acknowledged, so Clerk does not send them again; what they tell is missing until they are replayed or a full sync has run.",
		needs: []string{"database.migrations"}, run: checkRejected,
	},
	{
		id: "sync.drift", about: "a sample of the copy, beside Clerk", deep: true,
		why:   "It is the only proof.",
		needs: []string{"database.instance"}, run: checkDrift,
	},
	{
		id: "aws.stack", about: "the stack on AWS",
		why:   "The functions are in it.",
		needs: []string{"config.settings"}, run: checkStack,
	},
	{
		id: "webhook.endpoint", about: "whether the endpoint is at the webhook's address",
		why:   "A redirect, a login page or a firewall in front of it swallows every webhook.",
		needs: []string{"config.settings"}, after: []string{"aws.stack"}, run: checkEndpoint,
	},
	{
		id: "aws.secret", about: "the settings that the deployed functions have",
		why:   "They are read from the stack's secret, not from a file of this machine.",
		needs: []string{"aws.stack"}, run: checkSecret,
	},
	{
		id: "aws.schedule", about: "the schedule of full syncs",
		why:   "Without it the copy drifts, and nothing is purged.",
		needs: []string{"aws.stack"}, run: checkSchedule,
	},
	{
		id: "aws.queues", about: "the stack's failure queues",
		why:   "They hold what could not be done, for 14 days at most.",
		needs: []string{"aws.stack"}, run: checkQueues,
	},
	{
		id: "aws.alarms", about: "the stack's alarms",
		why:   "One that rings names what is wrong.",
		needs: []string{"aws.stack"}, run: checkAlarms,
	},
}
