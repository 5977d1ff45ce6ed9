import { type RunningApp, startApp } from './app.ts'
import type { DatabaseKind } from './databases.ts'
import { type ProviderServer, startProviderServer } from './provider-server.ts'

/** A whole server, and a provider that its `openai-compatible` models are asked of; both end when the server is closed. */
export async function startAppWithProvider(
  kind: DatabaseKind,
  env: Record<string, string> = {},
): Promise<{ server: RunningApp; provider: ProviderServer }> {
  const provider = await startProviderServer()
  const server = await startApp(kind, { OPENAI_COMPATIBLE_BASE_URL: `${provider.url}/v1`, ...env })
  const close = async () => {
    await server.close()
    await provider.close()
  }
  return { server: { ...server, close }, provider }
}
