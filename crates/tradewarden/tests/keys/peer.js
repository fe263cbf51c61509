// Sends one request, signed by the npm package http-message-signatures: `peer.js JSON`.
'use strict';

const { createHash, randomBytes } = require('node:crypto');
const { readFileSync } = require('node:fs');
const https = require('node:https');
const { createSigner, httpbis } = require('http-message-signatures');

const asked = JSON.parse(process.argv[2]);
const fields = ['@method', '@target-uri'];
const headers = {};
if (asked.body) {
  headers['content-type'] = 'application/json';
  headers['content-digest'] =
    `sha-256=:${createHash('sha256').update(asked.body).digest('base64')}:`;
  headers['idempotency-key'] = `"${randomBytes(16).toString('base64url')}"`;
  fields.push('content-type', 'content-digest', 'idempotency-key');
}

(async () => {
  const signed = await httpbis.signMessage({
    key: createSigner(asked.key, asked.algorithm, asked.key_id),
    name: 'js',
    fields,
    params: ['tag', 'nonce', 'keyid', 'created', 'alg'],
    paramValues: { created: new Date(), nonce: randomBytes(16).toString('base64url'), tag: 'tw-v1' },
  }, { method: asked.method, url: asked.url, headers });
  const options = { method: asked.method, headers: signed.headers, ca: readFileSync(asked.ca) };
  const request = https.request(asked.url, options, (answer) => {
    let text = '';
    answer.setEncoding('utf8');
    answer.on('data', (part) => { text += part; });
    answer.on('end', () => {
      process.stdout.write(`${JSON.stringify({ status: answer.statusCode, body: JSON.parse(text) })}\n`);
    });
  });
  request.on('error', (error) => { throw error; });
  request.end(asked.body || undefined);
})();
