// crow's auth, organisation and user services on loopback, for tests: better-auth, and around it what crow adds.
//
// Its one argument is a JSON object: `secure` (cookies as under https, `__Secure-…`), `port` (0: any free one) and
// `serviceKey` (what `X-API-Key` must be for the organisation and user services). It says where it listens in one line
// of JSON, and ends on SIGTERM, or when its standard input is closed: it never outlives the tests that started it.
import { randomBytes, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { json } from 'node:stream/consumers'
import { apiKey } from '@better-auth/api-key'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { toNodeHandler } from 'better-auth/node'
import { anonymous, jwt, organization } from 'better-auth/plugins'

const { secure = false, port = 0, serviceKey = '' } = JSON.parse(process.argv[2] ?? '{}')
const issuer = 'https://auth.crow.example'
const basePath = '/api/auth'
const rows = Object.fromEntries(
  ['user', 'session', 'account', 'verification', 'jwks', 'organization', 'member', 'invitation', 'apikey']
    .map(table => [table, []])
)
const auth = betterAuth({
  baseURL: secure ? issuer : issuer.replace('https', 'http'),
  basePath,
  secret: randomBytes(32).toString('base64url'),
  database: memoryAdapter(rows),
  // Hashes are not what these tests are about, and better-auth's takes longer than everything else of a sign-up.
  emailAndPassword: {
    enabled: true,
    password: { hash: async password => password, verify: async ({ hash, password }) => hash === password }
  },
  trustedOrigins: ['https://app.crowai.dev'],
  rateLimit: { enabled: false },
  logger: { disabled: true },
  telemetry: { enabled: false },
  plugins: [
    jwt({ jwt: { issuer, audience: 'crow' } }),
    organization(),
    apiKey({ defaultPrefix: 'crow_', enableMetadata: true, rateLimit: { maxRequests: 1000 } }),
    anonymous()
  ]
})

// crow's other services have ids of their own for what the auth service knows under its ids.
const uuids = new Map()
const uuid = id => uuids.get(id) ?? uuids.set(id, randomUUID()).get(id)

const services = {
  // better-auth has this as a function for servers only: crow puts it on a path.
  'POST /api-key/verify': async (_, body) => [200, await auth.api.verifyApiKey({ body })],
  // Nor can clients say how often a key may be used, or that it has expired.
  'POST /api-key/special': async (_, { expired, ...body }) => {
    const made = await auth.api.createApiKey({ body })
    if (expired) rows.apikey.find(one => one.id === made.id).expiresAt = new Date(0)
    return [200, made]
  },
  'GET /organizations/by-auth-id': id => {
    const found = rows.organization.find(one => one.id === id)
    return found ? [200, { id: uuid(id), authId: id, name: found.name }] : [404, { message: 'No such organization' }]
  },
  'GET /users/by-auth-id': id => {
    if (!rows.user.some(one => one.id === id)) return [404, { message: 'No such user' }]
    const theirs = rows.member.filter(one => one.userId === id).map(one => one.organizationId)
    return [200, { id: uuid(id), authId: id, organizations: theirs.map(authId => ({ id: uuid(authId), authId })) }]
  }
}

const refusal = error => [error.statusCode ?? 500, error.body ?? { message: String(error) }]

const ask = (request, path) => {
  const [, name, id] = /^(\/api-key\/\w+|\/(?:organizations|users)\/by-auth-id(?=\/))\/?([^/]*)$/.exec(path) ?? []
  const service = services[`${request.method} ${name}`]
  if (!service) return undefined
  if (id && request.headers['x-api-key'] !== serviceKey) return [401, { message: 'X-API-Key is not the service key' }]
  const body = request.method === 'POST' ? json(request) : Promise.resolve()
  return body.then(body => service(id, body)).catch(refusal)
}

const betterAuthAnswers = toNodeHandler(auth)
const server = createServer(async (request, response) => {
  const said = await ask(request, request.url.split('?')[0])
  if (said) {
    const [status, body] = said
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  } else {
    // Clients come by the gateway, which keeps the path they asked for; the gateway itself asks for `/get-session`.
    request.url = request.url.replace(/^(?:\/api\/v\d+\/(?:auth|better-auth))?(?=\/)/, basePath)
    await betterAuthAnswers(request, response)
  }
})

server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
process.on('SIGTERM', () => process.exit(0))
process.stdin.on('end', () => process.exit(0)).resume()
