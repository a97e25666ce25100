package config

// parseConsumer checks everything that applying queued events needs and reports every problem at once.
func parseConsumer(s settings) (Consumer, error) {
	var cfg Consumer
	var problems [3]error
	cfg.Database, problems[0] = parseDatabase(s)
	cfg.InstanceID, problems[1] = parseInstanceID(s.get(keyInstanceID))
	cfg.LogLevel, problems[2] = parseLogLevel(s.get(keyLogLevel))
	if err := invalid(problems[:]...); err != nil {
		return Consumer{}, err
	}
	return cfg, nil
}
