/** An environment variable of the server; the defaults are words for people. */
export type Variable = {
  name: string
  default: string
  meaning: string
  /** Its value must not be seen; it may stand in a file that `<name>_FILE` names. */
  isSecret?: boolean
}

/** The variables that are read here; those of the providers are in `models/providers/provider-variables.ts`. */
export const SERVER_VARIABLES: readonly Variable[] = [
  { name: 'HOST', default: '127.0.0.1', meaning: 'Address to listen on.' },
  { name: 'PORT', default: '8787', meaning: 'Port to listen on; 0 lets the system choose.' },
  { name: 'DRAMATIS_DATA_DIR', default: './data', meaning: 'Folder of the SQLite file, of blobs and of local models.' },
  {
    name: 'DRAMATIS_DATABASE_URL',
    default: '`dramatis.db` in the data folder',
    meaning: 'Where the data is: `file:/path/to.db` for SQLite, or `postgres://user:password@host/database`.',
    isSecret: true,
  },
  {
    name: 'DRAMATIS_DATABASE_POOL',
    default: '16',
    meaning: 'Connections to PostgreSQL that this process keeps at most, 2 or more.',
  },
  {
    name: 'DRAMATIS_DATABASE_PREPARED',
    default: 'found out at the start',
    meaning: '`0` prepares no statements under names, as poolers without them need; `1` does, whatever lies between.',
  },
  {
    name: 'PGSSLMODE',
    default: 'prefer',
    meaning: 'For a PostgreSQL whose URL has no `sslmode`: `disable` to `verify-full`, as libpq means them.',
  },
  {
    name: 'PGSSLROOTCERT',
    default: 'none',
    meaning:
      'File with the certificate of the authority (PEM) that PostgreSQL is to be known by; `system` for the public ones.',
  },
  { name: 'PGSSLCERT', default: 'none', meaning: 'File with a certificate (PEM) to log in to PostgreSQL with.' },
  { name: 'PGSSLKEY', default: 'none', meaning: 'File with the private key of that certificate (PEM).' },
  {
    name: 'DRAMATIS_API_KEY',
    default: 'made at the first start',
    meaning: 'The bootstrap admin key, at least 32 characters. The command line uses it as its key.',
    isSecret: true,
  },
  {
    name: 'DRAMATIS_LOG_LEVEL',
    default: 'info',
    meaning: '`trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
  },
  {
    name: 'DRAMATIS_CORS_ORIGINS',
    default: 'none',
    meaning: 'Origins that browsers may call from, separated by commas; `*` for any. Never with credentials.',
  },
  {
    name: 'DRAMATIS_TLS_CERT',
    default: 'none',
    meaning: 'File with the certificate chain (PEM). With the key: HTTP/2 and HTTP/1.1.',
  },
  { name: 'DRAMATIS_TLS_KEY', default: 'none', meaning: 'File with the private key (PEM).' },
  { name: 'DRAMATIS_METRICS_PUBLIC', default: '0', meaning: '`1` opens `/metrics` without a key.' },
  {
    name: 'DRAMATIS_SHUTDOWN_GRACE_MS',
    default: '10000',
    meaning: 'Milliseconds that running turns have to finish when the server is told to stop.',
  },
  {
    name: 'DRAMATIS_LEASE_MS',
    default: '15000',
    meaning:
      'Milliseconds after which the turns of a server that does not answer any more are ended by another one on the same PostgreSQL.',
  },
  { name: 'DRAMATIS_BODY_LIMIT', default: '1048576', meaning: 'Largest body of a request, in bytes.' },
  { name: 'DRAMATIS_ATTACHMENT_LIMIT', default: '10485760', meaning: 'Largest file that is attached, in bytes.' },
  {
    name: 'DRAMATIS_REQUESTS_PER_MINUTE',
    default: '0',
    meaning: 'Requests a minute for each API key; `0` for no limit.',
  },
  {
    name: 'DRAMATIS_RUNNING_TURNS_PER_KEY',
    default: '200',
    meaning: 'Turns of one API key that may be under way in this process, waiting ones included.',
  },
  {
    name: 'DRAMATIS_RUNNING_TURNS',
    default: '2000',
    meaning: 'Turns of all API keys that may be under way in this process, waiting ones included.',
  },
  {
    name: 'DRAMATIS_WRONG_KEYS_PER_MINUTE',
    default: '600',
    meaning:
      'Requests with an unknown key that one address may send a minute before they are refused with 429; `0` for no limit.',
  },
  { name: 'DRAMATIS_CONNECTIONS', default: '10000', meaning: 'Connections that may be open at a time.' },
  {
    name: 'DRAMATIS_CONNECTIONS_PER_ADDRESS',
    default: '4000',
    meaning: 'Of one IPv4 address, or one IPv6 network of 64 bits, that is no trusted proxy; `0` for no limit.',
  },
  {
    name: 'DRAMATIS_TRUSTED_PROXIES',
    default: 'none',
    meaning:
      'Addresses and networks of proxies, separated by commas, whose `X-Forwarded-For` is believed: for the client in the log and the limit on wrong keys.',
  },
  {
    name: 'DRAMATIS_SHED_DELAY_MS',
    default: '1000',
    meaning:
      'Milliseconds that the event loop may be late before new turns and conversations are refused; `0` for any.',
  },
  {
    name: 'DRAMATIS_PUBLIC_URL',
    default: 'that of each request',
    meaning: 'Address under which clients reach the server, for links that it gives out; needed behind a proxy.',
  },
  {
    name: 'DRAMATIS_BLOB_URL',
    default: '`blobs` in the data folder',
    meaning: 'Where blobs are: `file:/path`, `s3://bucket/prefix?endpoint=…&region=…`, or `azure://container/prefix`.',
  },
  {
    name: 'AZURE_STORAGE_CONNECTION_STRING',
    default: 'none',
    meaning: 'How to reach the blobs of `azure://`: the connection string of the storage account.',
    isSecret: true,
  },
  {
    name: 'DRAMATIS_ARCHIVE_MESSAGES',
    default: '2000',
    meaning: 'A conversation with more messages in the database has its older ones moved to blobs.',
  },
  {
    name: 'DRAMATIS_ARCHIVE_AFTER_DAYS',
    default: '90',
    meaning: 'So has one in which nothing has been said for this many days; `0` for never.',
  },
  {
    name: 'DRAMATIS_TITLE_MODEL',
    default: 'none',
    meaning:
      '`aiSystem:model` of a small model that names conversations; without it, an extract of the first message does.',
  },
  {
    name: 'DRAMATIS_SECRET_KEY',
    default: 'none',
    meaning:
      '32 random bytes in base64: the key that secrets of tools are encrypted with. Without it none can be kept.',
    isSecret: true,
  },
  {
    name: 'DRAMATIS_SECRET_KEY_PREVIOUS',
    default: 'none',
    meaning:
      'The key of secrets before the present one, or several separated by commas. The start seals what they open anew.',
    isSecret: true,
  },
  {
    name: 'DRAMATIS_ALLOW_PRIVATE_HOSTS',
    default: 'none',
    meaning:
      'Hosts that tools may reach although their addresses are private, loopback or link-local, separated by commas.',
  },
  {
    name: 'DRAMATIS_MCP_COMMANDS',
    default: 'none',
    meaning:
      'The commands of MCP servers that tools may name: JSON such as `{"files": {"command": "/usr/bin/mcp-files", "args": ["/srv/docs"]}}`, or a file with it. They run as the server does.',
  },
  {
    name: 'DRAMATIS_MCP_PROCESSES',
    default: '32',
    meaning:
      'Processes of MCP servers at the same time; an organization has at most half of them, and a key three quarters of that.',
  },
  { name: 'DRAMATIS_URL', default: 'http://127.0.0.1:8787', meaning: 'The server that `dramatis chat` talks to.' },
]
