// Signs and verifies with the http-message-signatures package: one JSON request a line, one answer.
'use strict';

const { createHash } = require('node:crypto');
const { createInterface } = require('node:readline');
const { createSigner, createVerifier, httpbis } = require('http-message-signatures');

const digest = (body) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`;

async function sign(asked) {
  const headers = { ...asked.headers };
  if (asked.body) headers['content-digest'] = digest(asked.body);
  const at = (unixS) => new Date(unixS * 1000);
  const signed = await httpbis.signMessage({
    key: createSigner(asked.key, asked.algorithm, asked.key_id),
    name: 'js',
    fields: ['@method', '@target-uri', ...Object.keys(headers)],
    params: ['keyid', 'alg', 'tag', 'nonce', 'created', 'expires'],
    paramValues: {
      created: at(asked.created), expires: at(asked.expires), nonce: asked.nonce, tag: 'tw-v1',
    },
  }, { method: asked.method, url: asked.url, headers });
  const lower = Object.entries(signed.headers).map(([name, value]) => [name.toLowerCase(), value]);
  return { headers: Object.fromEntries(lower) };
}

// This package leaves the digest to its callers.
async function verify(asked) {
  const key = {
    id: asked.key_id, algs: [asked.algorithm], verify: createVerifier(asked.key, asked.algorithm),
  };
  try {
    const verified = await httpbis.verifyMessage({
      keyLookup: async ({ keyid }) => (keyid === asked.key_id ? key : null),
      requiredParams: ['created', 'nonce', 'keyid', 'tag'],
      requiredFields: ['@method', '@target-uri'],
    }, { method: asked.method, url: asked.url, headers: asked.headers });
    const sameBody = !asked.body || asked.headers['content-digest'] === digest(asked.body);
    return { verified: verified === true && sameBody };
  } catch (error) {
    return { verified: false, why: String(error) };
  }
}

const answers = { now: async () => ({ unix_s: Math.floor(Date.now() / 1000) }), sign, verify };

(async () => {
  for await (const line of createInterface({ input: process.stdin })) {
    const asked = JSON.parse(line);
    process.stdout.write(`${JSON.stringify(await answers[asked.do](asked))}\n`);
  }
})();
