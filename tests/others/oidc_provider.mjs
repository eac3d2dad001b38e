// node-oidc-provider on loopback, with its own pages for signing in: node oidc_provider.mjs PORT REDIRECT SECRET
// Whoever signs in is called as they say; their groups are "staff". Prints "serving".
import Provider from "oidc-provider";

const [port, back, secret] = process.argv.slice(2);
const client = { client_id: "gaitkeeper", redirect_uris: [back], response_types: ["code"], grant_types: ["authorization_code"] };
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [secret ? { ...client, client_secret: secret } : { ...client, token_endpoint_auth_method: "none" }],
  claims: { openid: ["sub"], profile: ["preferred_username"], email: ["email", "email_verified"] },
  cookies: { keys: ["only for a test"] },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({ sub: `s-${id}`, preferred_username: id, email: `${id}@clinic.example`, email_verified: true }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("serving"));
