// Why a store would not open, with what a human has to do about it. Nothing was changed on disk.

/** The process ends with `exitCode` (EX_CONFIG) instead of acting on a history that it cannot trust. */
export class StoreRefused extends Error {
  override readonly name = 'StoreRefused';
  readonly exitCode = 78;
  readonly mend: string;
  constructor(message: string, mend: string, options?: ErrorOptions) {
    super(message, options);
    this.mend = mend;
  }
}
