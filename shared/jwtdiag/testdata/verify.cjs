// Asks Clerk's own verifier about tokens: JSON on stdin and stdout.
const { verifyToken } = require("@clerk/backend");

const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
Date.now = () => input.now;

(async () => {
  const answers = [];
  for (const { token, parties } of input.tokens) {
    const options = { authorizedParties: parties, ...input.keys };
    try {
      await verifyToken(token, options);
      answers.push("accepted");
    } catch (error) {
      answers.push("refused " + (error.reason ?? error.name));
    }
  }
  process.stdout.write(JSON.stringify(answers));
})();
