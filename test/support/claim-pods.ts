import { spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

const EXEC = /^\/api\/v1\/namespaces\/[^/]+\/pods\/([^/]+)\/exec$/;
const STREAM = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const;

/**
 * `exec` of the Kubernetes API over its WebSocket protocol: commands run here, with a folder of their own in the place
 * of `/data`.
 */
export class ClaimPods {
  readonly claim = mkdtempSync(join(tmpdir(), 'kvasir-claim-'));
  /** Pod and command of each exec. */
  readonly commands: string[] = [];
  /** Cuts the connection instead of running anything. */
  broken = false;
  readonly #sockets: WebSocketServer;

  /** `protocol`: v5 can close stdin, v4 of older servers cannot. */
  constructor(protocol: 'v5.channel.k8s.io' | 'v4.channel.k8s.io' = 'v5.channel.k8s.io') {
    this.#sockets = new WebSocketServer({ noServer: true, handleProtocols: () => protocol });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url!, 'http://x');
    const pod = EXEC.exec(url.pathname)?.[1];
    if (pod === undefined || request.headers.authorization !== 'Bearer secret') {
      socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const command = url.searchParams.getAll('command');
    this.commands.push(`${pod}: ${command.join(' ')}`);
    this.#sockets.handleUpgrade(request, socket, head, (peer) => {
      if (this.broken) peer.terminate();
      else this.#run(command, peer);
    });
  }

  #run(command: readonly string[], peer: WebSocket): void {
    const here = command.map((part) => part.replace(/^\/data\b/, this.claim));
    const child = spawn(here[0]!, here.slice(1));
    const send = (stream: number, data: Buffer): void =>
      peer.send(Buffer.concat([Buffer.from([stream]), data]));
    peer.on('message', (data: Buffer) => {
      if (data[0] === STREAM.stdin) child.stdin.write(data.subarray(1));
      else if (data[0] === STREAM.close) child.stdin.end();
    });
    // A listing names what is on the claim by the place it is mounted at.
    child.stdout.on('data', (data: Buffer) =>
      send(
        STREAM.stdout,
        command[0] === 'find' ? Buffer.from(data.toString().replaceAll(this.claim, '/data')) : data,
      ),
    );
    child.stderr.on('data', (data: Buffer) => send(STREAM.stderr, data));
    child.stdin.on('error', () => {});
    child.on('close', (code) => {
      const message = `command terminated with non-zero exit code: exit status ${code}`;
      const status = code === 0 ? { status: 'Success' } : { status: 'Failure', message };
      send(STREAM.status, Buffer.from(JSON.stringify(status)));
      peer.close();
    });
  }
}
