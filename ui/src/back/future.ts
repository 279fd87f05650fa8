/**
 * The future of a request that another page, or this one before a cut, has sent: what a
 * cell's output area shows.
 *
 * Lab's output area then does with each message what it does with those of its own cells;
 * nothing of that is repeated here. Given messages by `cells.ts`.
 */

import { type Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';

import type { HeldMessage } from '../server/types.js';

type Request = KernelMessage.IExecuteRequestMsg;
type Reply = KernelMessage.IExecuteReplyMsg;
type Hook = (message: KernelMessage.IIOPubMessage) => boolean | PromiseLike<boolean>;
type Handler<M> = (message: M) => PromiseLike<void> | void;

const nothing = (): void => undefined;

export class HeldFuture implements Kernel.IShellFuture<Request, Reply> {
  /** `onGone` is called when the output area lets go of this. */
  constructor(kernel: Kernel.IKernelConnection, request: string, onGone: () => void) {
    this._kernel = kernel;
    this._onGone = onGone;
    this.msg = KernelMessage.createMessage<Request>({
      msgType: 'execute_request',
      channel: 'shell',
      session: kernel.clientId,
      msgId: request,
      content: { code: '' }
    });
    futures(kernel)?.set(request, this);
  }

  readonly msg: Request;
  onReply: Handler<Reply> = nothing;
  onIOPub: Handler<KernelMessage.IIOPubMessage> = nothing;
  onStdin: Handler<KernelMessage.IStdinMessage> = nothing;

  get done(): Promise<Reply> {
    return this._done.promise;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /** Show a message, unless a hook takes it, as an `Output` widget's does. */
  async show({ msg_type, msg_id, content, metadata }: HeldMessage): Promise<void> {
    const message = {
      ...KernelMessage.createMessage({
        msgType: msg_type as 'stream',
        channel: 'iopub',
        session: this._kernel.clientId,
        msgId: msg_id,
        content: content as unknown as KernelMessage.IStreamMsg['content']
      }),
      metadata,
      parent_header: this.msg.header
    } as KernelMessage.IIOPubMessage;
    for (const hook of [...this._hooks].reverse()) {
      if (!(await hook(message))) {
        return;
      }
    }
    await this.onIOPub(message);
  }

  /** Note the kernel's reply, or what stands for it. */
  async finish(content: Record<string, unknown>): Promise<void> {
    const reply = {
      ...KernelMessage.createMessage({
        msgType: 'execute_reply',
        channel: 'shell',
        session: this._kernel.clientId,
        content: content as unknown as Reply['content']
      }),
      parent_header: this.msg.header
    } as Reply;
    await this.onReply(reply);
    this._done.resolve(reply);
  }

  /** What Lab's kernel connection gives it: only here questions to people come. */
  async handleMsg(message: KernelMessage.IMessage): Promise<void> {
    if (message.channel === 'stdin') {
      await this.onStdin(message as KernelMessage.IStdinMessage);
    }
  }

  registerMessageHook(hook: Hook): void {
    this.removeMessageHook(hook);
    this._hooks.push(hook);
  }

  removeMessageHook(hook: Hook): void {
    this._hooks = this._hooks.filter(known => known !== hook);
  }

  sendInputReply(
    content: KernelMessage.IInputReplyMsg['content'],
    parent: KernelMessage.IInputReplyMsg['parent_header']
  ): void {
    this._kernel.sendInputReply(content, parent);
  }

  dispose(): void {
    if (this._isDisposed) {
      return;
    }
    this._isDisposed = true;
    this.onReply = this.onIOPub = this.onStdin = nothing;
    this._hooks = [];
    const known = futures(this._kernel);
    if (known?.get(this.msg.header.msg_id) === this) {
      known.delete(this.msg.header.msg_id);
    }
    this._onGone();
  }

  private readonly _kernel: Kernel.IKernelConnection;
  private readonly _onGone: () => void;
  private readonly _done = new PromiseDelegate<Reply>();
  private _hooks: Hook[] = [];
  private _isDisposed = false;
}

/**
 * The futures that a kernel connection knows (services 7.4 to 7.6): `Output` widgets
 * find there whose messages they take. Undefined where there are none.
 */
function futures(kernel: Kernel.IKernelConnection): Map<string, unknown> | undefined {
  const found = (kernel as unknown as { _futures?: unknown })._futures;
  return found instanceof Map ? (found as Map<string, unknown>) : undefined;
}
