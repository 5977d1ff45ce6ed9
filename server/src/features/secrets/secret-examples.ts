/** A secret of a tool: shown in the document, and sent to a server by a test. */
export const PUT_SECRET_EXAMPLE = { value: 'Bearer an-example-that-opens-nothing', hosts: ['api.example.com'] }
