//! Limits of identity: tokens and their issuers, passwords, users, roles, API keys.

/// How far the clocks of an issuer of tokens and of a node may be apart, milliseconds: machines that are set by
/// network time stay within a second, those that are not within a minute.
pub const TOKEN_SKEW_MS: u64 = 60_000;
/// Values in the header of a token, and in its claims: directories list some hundred groups of a person.
pub const TOKEN_VALUES_MAX: usize = 512;
/// Objects and lists within each other in a token or a set of keys: issuers in use have three levels.
pub const TOKEN_DEPTH_MAX: usize = 8;
/// Audiences of one token. Each that is there may use the token at the others.
pub const TOKEN_AUDIENCES_MAX: usize = 32;
/// Roles that a token may list, as its issuer names them: as many groups as issuers put into a token.
pub const TOKEN_ROLES_MAX: usize = 256;
/// The subject of a token and its id: what OpenID Connect has for a subject.
pub const TOKEN_SUBJECT_BYTES_MAX: usize = 255;
/// The id of a key: hashes in text are 44 to 64 bytes long.
pub const KEY_ID_BYTES_MAX: usize = 256;
/// Foreign issuers of tokens that a node may trust.
pub const ISSUERS_MAX: usize = 64;
/// The name of an issuer or an audience: a URL.
pub const ISSUER_BYTES_MAX: usize = 1_024;
/// Names that lead to a claim, and what is mapped of an issuer's roles to ours.
pub const ISSUER_PATH_MAX: usize = TOKEN_DEPTH_MAX;
pub const ISSUER_ROLES_MAX: usize = TOKEN_ROLES_MAX;
/// What an issuer publishes, its keys or what leads there: ten keys with their certificates take 30 kB.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Keys of one issuer, of all types: one that is used, one that is next, and some that are about to end.
pub const KEY_SET_KEYS_MAX: usize = 64;
/// Values in what an issuer publishes: the largest key has twenty with its certificates.
pub const KEY_SET_VALUES_MAX: usize = 4_096;
/// How long an issuer's keys are taken as they were fetched, milliseconds: as it says, within these bounds, or else
/// ten minutes. A key that is withdrawn is believed for so long at the most, if its issuer can be reached.
pub const KEYS_AGE_MS_MIN: u64 = 60_000;
pub const KEYS_AGE_MS_DEFAULT: u64 = 10 * 60 * 1_000;
pub const KEYS_AGE_MS_MAX: u64 = 60 * 60 * 1_000;
/// How much longer they are taken while the issuer cannot be reached, milliseconds: time to mend it.
pub const KEYS_KEPT_MS: u64 = 60 * 60 * 1_000;
/// Between two fetches for keys that are not known, milliseconds: tokens of invented keys cost an issuer no more.
pub const KEYS_UNKNOWN_MS: u64 = 60_000;
/// Between a fetch that failed and the next, milliseconds.
pub const KEYS_RETRY_MS: u64 = 10_000;
/// How long a fetch may take, milliseconds: those who show a new key wait for it.
pub const KEYS_FETCH_MS_MAX: u64 = 5_000;
/// A password's characters. What is all that somebody shows has fifteen or more (NIST SP 800-63B-4, 3.1.1.2); at the
/// most, twice what the standard asks to be taken.
pub const PASSWORD_CHARS_MIN: usize = 15;
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Its bytes as they come: the longest of four bytes each.
pub const PASSWORD_BYTES_MAX: usize = 4 * PASSWORD_CHARS_MAX;
/// Passwords that a node hashes at a time: 19 MiB and a core each, so that logins leave the rest of the node alone.
pub const PASSWORD_HASHES_MAX: usize = 2;
/// Logins that wait for that: what two cores hash in a second or two.
pub const PASSWORD_WAITING_MAX: usize = 64;
/// How long they wait, milliseconds: people have gone by then.
pub const PASSWORD_WAIT_MS_MAX: u64 = 5_000;
/// Failed logins that a node remembers, in buckets of some 32 bytes: far more than it can hash passwords for in an
/// hour from any number of places.
pub const LOGIN_BUCKETS_MAX: usize = 131_072;
/// Passwords that are tried as one user from where it has not logged in before: what each node lets pass before it asks the
/// others, as people mistype.
pub const LOGIN_TRIES_NODE: u32 = 5;
/// And what all nodes together let pass after that, an hour. No password of fifteen characters is found at 1,440 a day; less
/// would let who guesses keep the user from every new place.
pub const LOGIN_TRIES_HOUR: u64 = 60;
/// Of which so many may come at once, when nobody has tried for long.
pub const LOGIN_TRIES_BURST: u64 = 20;
/// Users whom a node counts so with the others at a time, at about a kilobyte each: more are counted by the node alone.
pub const LOGIN_TRIES_USERS_MAX: usize = 20_000;
/// Users of a tenant, counted where one is added.
pub const USERS_TENANT_MAX: usize = 10_000;
/// A user's name: part of a store key and of what people read.
pub const USERNAME_BYTES_MAX: usize = 64;
/// An address of mail (RFC 5321, with its brackets left out).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Places from where a user has logged in that are known for it: home, work, some on the way.
pub const USER_PLACES_MAX: usize = 8;
/// Logins of one user that go on at a time, each a family of refresh tokens; the one that was quiet for longest ends.
pub const TOKEN_FAMILIES_USER_MAX: usize = 32;
/// How long an access token is good for, milliseconds: some minutes, since it is not asked for each time elsewhere; and
/// how long it may be at the most, for which a key that has signed is kept.
pub const ACCESS_TOKEN_MS: u64 = 5 * 60_000;
pub const ACCESS_TOKEN_MS_MAX: u64 = 60 * 60_000;
/// How long a login goes on at the most, and without being used, milliseconds, unless it is configured: a month and a week.
pub const LOGIN_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
pub const LOGIN_IDLE_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// How long the code of an authorization may be exchanged, milliseconds: a browser follows a redirect at once.
pub const CODE_MS_MAX: u64 = 60_000;
/// How long a page to log in at may stay open, milliseconds: somebody looks for the password.
pub const LOGIN_PAGE_MS_MAX: u64 = 15 * 60_000;
/// Clients of a cluster that users log in with, and the places that each may have them sent back to.
pub const OAUTH_CLIENTS_MAX: usize = 64;
pub const REDIRECT_URIS_MAX: usize = 16;
/// One of these places: half of what the shortest line of a request takes.
pub const REDIRECT_URI_BYTES_MAX: usize = 512;
/// What a client is called on the page, in characters: a line of it.
pub const CLIENT_TITLE_CHARS_MAX: usize = 64;
/// What a client has sent back to it as it was: some keep a whole address in it.
pub const OAUTH_STATE_BYTES_MAX: usize = 1_024;
/// What it has put into an id token: hashes in text are 44 to 64 bytes long.
pub const OAUTH_NONCE_BYTES_MAX: usize = 256;
/// What it asks for: some names.
pub const OAUTH_SCOPE_BYTES_MAX: usize = 1_024;
/// Access tokens of a tenant that are revoked one by one, until they expire: they are counted where one is added, and
/// fit into a transaction. Past it their logins end.
pub const REVOKED_TOKENS_MAX: usize = 1_000;
/// How long the refresh token before the present one gets the same answer again, milliseconds: a client whose answer
/// was lost tries again within this.
pub const REFRESH_REPEAT_MS: u64 = 10_000;
/// How long the cluster signs with one key, milliseconds: a month.
pub const SIGNING_KEY_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long before that the next one is published, milliseconds: longer than anybody keeps a set of keys.
pub const SIGNING_KEY_AHEAD_MS: u64 = 2 * KEYS_AGE_MS_MAX;
/// Signing keys that there are at a time: the present one, the next, those that still verify, and some that were
/// replaced by hand.
pub const SIGNING_KEYS_MAX: usize = 16;
/// Roles that a tenant may make beside those that are built in: more than a person keeps apart.
pub const ROLES_MAX: usize = 256;
/// The name of a role: as that of a kind.
pub const ROLE_NAME_BYTES_MAX: usize = 64;
/// Rules of a role: one for each resource and action that there are is less.
pub const ROLE_RULES_MAX: usize = 128;
/// A rule in text: two words and a scope.
pub const ROLE_RULE_BYTES_MAX: usize = 64;
/// Roles of one principal: each is looked up when it comes.
pub const PRINCIPAL_ROLES_MAX: usize = 32;
/// API keys of a tenant, those that were revoked included: they are listed whole, and fit into a transaction.
pub const API_KEYS_MAX: usize = 1_000;
/// What an API key is called, in characters: a line of a list.
pub const API_KEY_NAME_CHARS_MAX: usize = 128;
/// How old the time of an API key's last use may be in the store, milliseconds: a key that is used all day costs 24
/// commits, and who looks for keys that nobody uses looks for weeks.
pub const API_KEY_USED_MS: u64 = 60 * 60 * 1_000;
/// Credentials that a node remembers as verified. Each takes about a kilobyte, so no more than 8 MB.
pub const CREDENTIALS_KNOWN_MAX: usize = 8_192;
/// How long it believes them without another look, milliseconds: what is changed is heard of within a second, so this
/// is for a node that hears nothing. As long as the shortest that an issuer's keys are believed.
pub const CREDENTIALS_KNOWN_MS: u64 = 60_000;
/// Credentials that are looked up in the store at a time: invented ones take no more of it than this.
pub const CREDENTIAL_READS_MAX: usize = 64;
/// How long one waits for its turn and its look, milliseconds: its client waits for a Welcome.
pub const CREDENTIAL_READ_MS_MAX: u64 = 5_000;
