/** Which AI systems can be used, where one can: shown in the document. */
export const MODELS_EXAMPLE = {
  default: {
    aiSystem: 'anthropic',
    model: 'claude-sonnet-4-6',
    why: 'Anthropic with claude-sonnet-4-6, because ANTHROPIC_API_KEY is set.',
  },
  data: [
    {
      aiSystem: 'anthropic',
      label: 'Anthropic',
      isUsable: true,
      why: null,
      defaultModel: 'claude-sonnet-4-6',
      models: ['claude-sonnet-4-6'],
    },
  ],
}
