/* The built-in policies, as the JSON that a user would write: `--policy NAME`, and "extends": "NAME".
 *
 * Everything that is not opened here is closed. What no policy can open is in limits.c, facts.c and facts_protected.c.
 */
#include "spec/policy_load.h"

#include "spec/cleanup.h"

/* Where programs keep what opens other doors. For policies in which home can be read. */
#define CREDENTIALS                                                                                      \
	"\"~/.ssh\", \"~/.gnupg\", \"~/.aws\", \"~/.azure\", \"~/.kube\", \"~/.docker\", \"~/.oci\", "   \
	"\"~/.terraform.d\","                                                                            \
	"\"~/.netrc\", \"~/.git-credentials\", \"~/.pypirc\", \"~/.npmrc\", \"~/.yarnrc.yml\", "         \
	"\"~/.pgpass\","                                                                                 \
	"\"~/.my.cnf\", \"~/.vault-token\", \"~/.password-store\", \"~/.config/gh\", \"~/.config/hub\"," \
	"\"~/.config/glab-cli\", \"~/.config/gcloud\", \"~/.config/op\", \"~/.config/rclone\", "         \
	"\"~/.config/doctl\","                                                                           \
	"\"~/.config/git/credentials\", \"~/.cargo/credentials\", \"~/.cargo/credentials.toml\","        \
	"\"~/.gem/credentials\", \"~/.m2/settings.xml\", \"~/.gradle/gradle.properties\", "              \
	"\"~/.composer/auth.json\","                                                                     \
	"\"~/.local/share/keyrings\", \"~/.mozilla\", \"~/.thunderbird\", \"~/.config/google-chrome\","  \
	"\"~/.config/chromium\", \"~/.config/BraveSoftware\", \"~/.bash_history\", \"~/.zsh_history\","  \
	"\"~/.psql_history\", \"~/.python_history\", \"~/.node_repl_history\""

#define MODEL_APIS                                                                                        \
	"\"api.anthropic.com:443\", \"*.anthropic.com:443\", \"claude.ai:443\", \"api.openai.com:443\","  \
	"\"*.openai.com:443\", \"*.chatgpt.com:443\", \"generativelanguage.googleapis.com:443\","         \
	"\"api.mistral.ai:443\", \"api.cohere.ai:443\", \"api.together.xyz:443\", \"openrouter.ai:443\"," \
	"\"api.groq.com:443\", \"api.deepseek.com:443\", \"api.x.ai:443\""

#define FORGES                                                                      \
	"\"github.com\", \"api.github.com:443\", \"*.githubusercontent.com:443\", " \
	"\"codeload.github.com:443\","                                              \
	"\"objects.githubusercontent.com:443\", \"gitlab.com\", \"bitbucket.org\", \"codeberg.org\""

#define NPM  "\"registry.npmjs.org:443\", \"*.npmjs.org:443\", \"registry.yarnpkg.com:443\""
#define PYPI "\"pypi.org:443\", \"files.pythonhosted.org:443\""
#define REGISTRIES                                                                             \
	NPM "," PYPI ", \"crates.io:443\", \"static.crates.io:443\", \"index.crates.io:443\"," \
	    "\"proxy.golang.org:443\", \"sum.golang.org:443\", \"rubygems.org:443\", "         \
	    "\"repo.maven.apache.org:443\","                                                   \
	    "\"repo1.maven.org:443\""

/* Names under the clouds' metadata services; their addresses are refused in any case. */
#define METADATA "\"metadata.google.internal\", \"169.254.169.254\", \"instance-data.ec2.internal\""

static const struct builtin_policy builtins[] = {
	{ "default", "the working directory can be read and written, nothing else of yours; no network",
		"{ \"filesystem\": { \"defaultDenyRead\": true, \"allowRead\": [\".\"], \"allowWrite\": "
		"[\".\"] } }" },

	{ "default-deny", "the working directory can be read; nothing is written; no network",
		"{ \"filesystem\": { \"defaultDenyRead\": true, \"allowRead\": [\".\"] } }" },

	{ "workspace-write",
		"the host can be read but for credentials, the working directory written; no network",
		"{ \"filesystem\": { \"defaultDenyRead\": false, \"allowWrite\": [\".\"], \"denyRead\": "
		"[" CREDENTIALS "] } }" },

	{ "git-readonly",
		"as default, with what git reads of yours; nothing that changes a repository elsewhere",
		"{ \"extends\": \"default\","
		"  \"filesystem\": { \"allowRead\": [\"~/.gitconfig\", \"~/.config/git/config\", "
		"\"~/.config/git/ignore\","
		"    \"~/.config/git/attributes\"], \"denyWrite\": [\".git\"] },"
		"  \"command\": { \"deny\": [\"git push\", \"git commit\", \"git merge\", \"git rebase\", "
		"\"git reset\","
		"    \"git cherry-pick\", \"git tag\", \"git branch -D\", \"git remote add\", \"git "
		"config\", \"gh pr create\","
		"    \"gh pr merge\", \"gh release\", \"gh repo\"] } }" },

	{ "local-dev-server",
		"as default, and the host's own services on localhost; servers on ports 3000, 5173, 8000 and "
		"8080",
		"{ \"extends\": \"default\","
		"  \"network\": { \"allowLocalBinding\": true, \"allowLocalOutbound\": true,"
		"    \"inboundPorts\": [3000, 5173, 8000, 8080] } }" },

	{ "npm-install", "as default, and npm's registry",
		"{ \"extends\": \"default\","
		"  \"network\": { \"allowedDomains\": [" NPM ", \"nodejs.org:443\"] },"
		"  \"filesystem\": { \"allowWrite\": [\"~/.npm/_cacache\", \"~/.npm/_logs\", "
		"\"~/.cache/node-gyp\"] },"
		"  \"env\": { \"set\": { \"NPM_CONFIG_UPDATE_NOTIFIER\": \"false\" } } }" },

	{ "pip-install", "as default, and the Python package index",
		"{ \"extends\": \"default\","
		"  \"network\": { \"allowedDomains\": [" PYPI "] },"
		"  \"filesystem\": { \"allowWrite\": [\"~/.cache/pip\"] },"
		"  \"env\": { \"set\": { \"PIP_DISABLE_PIP_VERSION_CHECK\": \"1\" } } }" },

	{ "agent-api-only", "as default, and the interfaces of language models: nothing else",
		"{ \"extends\": \"default\","
		"  \"network\": { \"allowedDomains\": [" MODEL_APIS "] },"
		"  \"filesystem\": { \"allowRead\": [\"~/.claude.json\", \"~/.claude\", \"~/.codex\", "
		"\"~/.gemini\"],"
		"    \"allowWrite\": [\"~/.claude.json\", \"~/.claude\", \"~/.codex\", \"~/.gemini\"] },"
		"  \"env\": { \"pass\": [\"ANTHROPIC_*\", \"OPENAI_*\", \"GEMINI_*\", \"GOOGLE_API_KEY\", "
		"\"MISTRAL_*\","
		"    \"OPENROUTER_*\", \"CLAUDE_*\", \"CODEX_*\", \"EDITOR\", \"VISUAL\", \"PAGER\", \"CI\"] "
		"} }" },

	{ "code",
		"for coding agents: model interfaces, forges and package registries; no pushing, no "
		"publishing",
		"{ \"extends\": \"agent-api-only\","
		"  \"network\": { \"allowLocalBinding\": true, \"allowLocalOutbound\": true,"
		"    \"allowedDomains\": [" FORGES "," REGISTRIES "], \"deniedDomains\": [" METADATA "] },"
		"  \"filesystem\": { \"allowRead\": [\"~/.gitconfig\", \"~/.config/git/config\", "
		"\"~/.config/git/ignore\","
		"    \"~/.config/git/attributes\", \"~/go/pkg/mod\", \"~/.cargo/registry\", "
		"\"~/.m2/repository\"],"
		"    \"allowWrite\": [\"~/.npm/_cacache\", \"~/.npm/_logs\", \"~/.cache/pip\", "
		"\"~/.cache/uv\", \"~/.cache/go-build\","
		"      \"~/.cache/yarn\", \"~/.local/share/pnpm\", \"~/.bun/install/cache\", "
		"\"~/.cargo/registry\","
		"      \"~/.cargo/git\", \"~/go/pkg/mod\"] },"
		"  \"command\": { \"deny\": [\"git push\", \"npm publish\", \"pnpm publish\", \"yarn "
		"publish\", \"cargo publish\","
		"    \"twine upload\", \"gem push\", \"gh pr create\", \"gh pr merge\", \"gh release "
		"create\", \"gh repo create\","
		"    \"gh repo delete\", \"gh secret\", \"glab mr create\", \"glab mr merge\"] } }" },

	{ "code-relaxed", "as code, with the whole network and the host readable but for credentials",
		"{ \"extends\": \"code\","
		"  \"network\": { \"allowedDomains\": [\"*\"] },"
		"  \"filesystem\": { \"defaultDenyRead\": false, \"denyRead\": [" CREDENTIALS "] } }" },
};

const struct builtin_policy *builtin_policies(size_t *count)
{
	*count = ARRAY_SIZE(builtins);
	return builtins;
}
