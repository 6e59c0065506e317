/** A real S3 server of a bench's own. */
import { type S3Server, s3ServerMissing, startS3Server } from '../test/s3_server.ts';
import type { BenchContext } from './bench.ts';

/** With an empty bucket; stopped when the bench is over. Throws when its programs are missing. */
export async function startOwnS3(context: BenchContext, bucket: string): Promise<S3Server> {
  const missing = s3ServerMissing();
  if (missing !== undefined) throw new Error(missing);
  const s3 = await startS3Server();
  context.defer(async () => {
    await s3.stop();
  });
  await s3.createBucket(bucket);
  return s3;
}
