// What test_javascript.py does with the AWS SDK for JavaScript.
//
//   node steps.cjs STEP BUCKET [ARGUMENT ...]
//
// The endpoint comes from the AWS_* variables, the SDK from NODE_PATH. A step fails by throwing; its answer is
// JSON on standard output.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { createHash } = require("node:crypto");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { setTimeout } = require("node:timers/promises");
const {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  S3Client,
  UploadPartCommand,
  paginateListObjectsV2,
} = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const client = new S3Client({
  endpoint: process.env.AWS_ENDPOINT_URL,
  region: process.env.AWS_REGION,
  forcePathStyle: true,
  maxAttempts: 1,
});

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

async function read(Bucket, Key, options = {}) {
  const answer = await client.send(new GetObjectCommand({ Bucket, Key, ...options }));
  return { data: Buffer.from(await answer.Body.transformToByteArray()), answer };
}

async function refusal(command) {
  try {
    await client.send(command);
  } catch (error) {
    return [error.name, error.$metadata.httpStatusCode];
  }
  return ["none", 200];
}

const steps = {
  async putBuffer(Bucket, Key, source) {
    const answer = await client.send(new PutObjectCommand({ Bucket, Key, Body: fs.readFileSync(source) }));
    const { data } = await read(Bucket, Key);
    return { etag: answer.ETag, sha256: sha256(data) };
  },

  // A stream cannot be hashed ahead: the SDK sends it as aws-chunked with the checksum in a trailer.
  async putStream(Bucket, Key, source, target, ChecksumAlgorithm) {
    const { size } = fs.statSync(source);
    let coding;
    const command = new PutObjectCommand({
      Bucket,
      Key,
      Body: fs.createReadStream(source),
      ContentLength: size,
      ChecksumAlgorithm,
    });
    command.middlewareStack.addRelativeTo(
      (next) => (args) => {
        coding = args.request.headers["x-amz-content-sha256"];
        return next(args);
      },
      { relation: "after", toMiddleware: "awsAuthMiddleware", name: "observer" },
    );
    await client.send(command);
    const { Body, ...answer } = await client.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    await pipeline(Body, fs.createWriteStream(target));
    return { coding, checksum: answer[`Checksum${ChecksumAlgorithm}`], encoding: answer.ContentEncoding ?? null };
  },

  // The parts of the files, whose names are their numbers, in the order in which the files are named.
  async putPartsInOrder(Bucket, Key, ...sources) {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const Parts = [];
    for (const source of sources) {
      const PartNumber = Number(path.basename(source));
      const part = { Bucket, Key, UploadId, PartNumber, Body: fs.readFileSync(source) };
      const { ETag } = await client.send(new UploadPartCommand(part));
      Parts.push({ PartNumber, ETag });
    }
    Parts.sort((one, other) => one.PartNumber - other.PartNumber);
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    return Parts.length;
  },

  async keys(Bucket, ...keys) {
    for (const Key of keys) {
      await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
      const { data } = await read(Bucket, Key);
      if (data.toString() !== Key) throw new Error(`${Key} holds ${data}`);
    }
    const listed = [];
    for await (const page of paginateListObjectsV2({ client, pageSize: 5 }, { Bucket })) {
      listed.push(...(page.Contents ?? []).map((entry) => entry.Key));
    }
    const Delete = { Objects: keys.slice(1).map((Key) => ({ Key })) };
    const answer = await client.send(new DeleteObjectsCommand({ Bucket, Delete }));
    return { listed, deleted: answer.Deleted.map((entry) => entry.Key), errors: answer.Errors ?? [] };
  },

  async metadata(Bucket, Key) {
    const Metadata = { colour: "red", empty: "" };
    await client.send(new PutObjectCommand({ Bucket, Key, Body: "data", Metadata, ContentType: "text/x", Tagging: "a=b" }));
    const Tagging = { TagSet: [{ Key: "c", Value: "d e" }] };
    const before = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    await client.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging }));
    const after = await client.send(new GetObjectTaggingCommand({ Bucket, Key }));
    const head = await client.send(new HeadObjectCommand({ Bucket, Key }));
    return { metadata: head.Metadata, type: head.ContentType, tags: [before.TagSet, after.TagSet] };
  },

  async conditions(Bucket, Key) {
    const create = () => new PutObjectCommand({ Bucket, Key, Body: "one", IfNoneMatch: "*" });
    const first = await client.send(create());
    return {
      create: await refusal(create()),
      match: await refusal(new PutObjectCommand({ Bucket, Key, Body: "two", IfMatch: '"0123"' })),
      unchanged: await refusal(new GetObjectCommand({ Bucket, Key, IfNoneMatch: first.ETag })),
      missing: await refusal(new GetObjectCommand({ Bucket, Key: `${Key}-missing` })),
      headMissing: await refusal(new HeadObjectCommand({ Bucket, Key: `${Key}-missing` })),
      held: (await read(Bucket, Key)).data.toString(),
    };
  },

  async ranges(Bucket, Key) {
    const { data, answer } = await read(Bucket, Key, { Range: "bytes=100-199" });
    return { range: answer.ContentRange, sha256: sha256(data) };
  },

  async copyAndDelete(Bucket, source, target) {
    const CopySource = `${Bucket}/${source.split("/").map(encodeURIComponent).join("/")}`;
    await client.send(new CopyObjectCommand({ Bucket, Key: target, CopySource }));
    await client.send(new DeleteObjectCommand({ Bucket, Key: source }));
    return sha256((await read(Bucket, target)).data);
  },

  async presign(Bucket, Key) {
    const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
    const get = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
    const sent = await fetch(put, { method: "PUT", body: "signed data" });
    const got = await fetch(get);
    return { put: sent.status, get: got.status, text: await got.text() };
  },

  async webStream(Bucket, Key) {
    const pieces = Array.from({ length: 50 }, (_, number) => Buffer.alloc(3000, number));
    const Body = Readable.from(pieces);
    await client.send(new PutObjectCommand({ Bucket, Key, Body, ContentLength: 150_000 }));
    return sha256((await read(Bucket, Key)).data) === sha256(Buffer.concat(pieces));
  },

  async putParts(Bucket, Key, source, partSize) {
    const data = fs.readFileSync(source);
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: "CRC32" }));
    const Parts = [];
    for (let first = 0, PartNumber = 1; first < data.length; first += Number(partSize), PartNumber += 1) {
      const Body = data.subarray(first, first + Number(partSize));
      const part = { Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm: "CRC32" };
      const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand(part));
      Parts.push({ PartNumber, ETag, ChecksumCRC32 });
    }
    await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
    return { parts: Parts.length, sha256: sha256((await read(Bucket, Key)).data) };
  },

  // lib-storage reads a stream of unknown length, and sends several parts at a time.
  async upload(Bucket, Key, source, partSize) {
    const Metadata = { colour: "red" };
    const params = { Bucket, Key, Body: fs.createReadStream(source), ContentType: "text/x", Metadata };
    const upload = new Upload({ client, params, partSize: Number(partSize), queueSize: 4, leavePartsOnError: false });
    let sent = 0;
    upload.on("httpUploadProgress", ({ loaded }) => (sent = Math.max(sent, loaded)));
    const { ETag } = await upload.done();
    const { data, answer } = await read(Bucket, Key);
    return { etag: ETag, sent, sha256: sha256(data), type: answer.ContentType, metadata: answer.Metadata };
  },

  // Once the first part has arrived the upload is given up; nothing of it may be left.
  async abortUpload(Bucket, Key, source, partSize) {
    const params = { Bucket, Key, Body: fs.createReadStream(source) };
    const upload = new Upload({ client, params, partSize: Number(partSize), queueSize: 1, leavePartsOnError: false });
    upload.on("httpUploadProgress", () => upload.abort());
    let outcome = "done";
    await upload.done().catch((error) => (outcome = error.name));
    // It is told that it is given up before it has sent the abort.
    let left;
    for (let tries = 0; tries < 100 && left !== 0; tries += 1) {
      if (tries) await setTimeout(100);
      left = (await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads?.length ?? 0;
    }
    return { outcome, uploads: left, object: await refusal(new HeadObjectCommand({ Bucket, Key })) };
  },

  async buckets(Bucket) {
    await client.send(new CreateBucketCommand({ Bucket }));
    const { Buckets } = await client.send(new ListBucketsCommand({ Prefix: Bucket }));
    await client.send(new DeleteBucketCommand({ Bucket }));
    return { listed: Buckets.map((entry) => entry.Name), after: await refusal(new HeadBucketCommand({ Bucket })) };
  },
};

const [name, ...rest] = process.argv.slice(2);
steps[name](...rest).then(
  (answer) => process.stdout.write(JSON.stringify(answer)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
