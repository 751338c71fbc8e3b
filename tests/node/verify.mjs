// Check tokens as a service in Node does: one JSON object a line on stdin, one answer a line on stdout.
//   in:  {"token", "issuer", "audience", "algorithm", "now", and "jwks" or "secret"}
//   out: {"claims", "header"}, or {"error": jose's code}
import {createInterface} from 'node:readline';
import {createLocalJWKSet, jwtVerify} from 'jose';

async function verified({token, issuer, audience, algorithm, now, jwks, secret}) {
  const key = jwks ? createLocalJWKSet(jwks) : new TextEncoder().encode(secret);
  const rules = {issuer, audience, algorithms: [algorithm], typ: 'JWT', currentDate: new Date(now * 1000)};
  const {payload, protectedHeader} = await jwtVerify(token, key, rules);
  return {claims: payload, header: protectedHeader};
}

for await (const line of createInterface({input: process.stdin})) {
  const answer = await verified(JSON.parse(line)).catch((error) => ({error: error.code ?? String(error)}));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
