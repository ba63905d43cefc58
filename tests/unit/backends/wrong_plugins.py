"""Plugins that are each wrong in one way, for the test that the conformance suite finds them out."""

import hashlib
import threading
import time

from backends.api import ALWAYS, ANY_REVISION, NoSuchUpload, OpenBytes, Precondition, StorageUnavailable
from backends.memory import MemoryBackend


class AsksTheRecordFirst(MemoryBackend):
    def put_object(self, caller, bucket, key, source, *rest, **options):
        source.record()
        return super().put_object(caller, bucket, key, source, *rest, **options)


class ReadsInAnotherThread(MemoryBackend):
    def put_object(self, *arguments, **options):
        results = []

        def work():
            try:
                results.append((super(ReadsInAnotherThread, self).put_object(*arguments, **options), None))
            except BaseException as error:
                results.append((None, error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        result, error = results[0]
        if error is not None:
            raise error
        return result


class IgnoresPreconditions(MemoryBackend):
    def put_object(self, caller, bucket, key, source, precondition=ALWAYS, *rest):
        return super().put_object(caller, bucket, key, source, ALWAYS, *rest)


class ChecksBeforeTheBody(MemoryBackend):
    def put_object(self, caller, bucket, key, source, precondition=ALWAYS, *rest):
        precondition.check(self._bucket(bucket).current(key))
        return super().put_object(caller, bucket, key, source, ALWAYS, *rest)


class ChecksWithoutExclusion(MemoryBackend):
    def _publish(self, bucket, key, stored, precondition):
        precondition.check(self._bucket(bucket).current(key))
        time.sleep(0.001)
        return super()._publish(bucket, key, stored, ALWAYS)


class TranslatesTheBodysErrors(MemoryBackend):
    def put_object(self, *arguments, **options):
        try:
            return super().put_object(*arguments, **options)
        except OSError as error:
            raise StorageUnavailable("the body broke") from error


class TakesAnyLength(MemoryBackend):
    def put_object(self, caller, bucket, key, source, *rest, **options):
        source.length = None
        return super().put_object(caller, bucket, key, source, *rest, **options)


class LocksWhileItReads(MemoryBackend):
    def __init__(self, config):
        super().__init__(config)
        self._everything = threading.Lock()

    def put_object(self, *arguments, **options):
        if not self._everything.acquire(timeout=1):
            raise StorageUnavailable("another put is under way")
        try:
            return super().put_object(*arguments, **options)
        finally:
            self._everything.release()


class ShowsNewDataToOldReaders(MemoryBackend):
    def get_object(self, caller, bucket, key):
        stored = super().get_object(caller, bucket, key)
        objects = self._bucket(bucket).objects

        class Following(OpenBytes):
            def read(self, offset, length):
                yield from objects.get(key, stored).read(offset, length)

        return Following(stored.record, stored.data)


class ForgetsTags(MemoryBackend):
    def _publish(self, bucket, key, stored, precondition):
        return super()._publish(bucket, key, OpenBytes(stored.record.replace(tags={}), stored.data), precondition)


class OrdersByUtf16(MemoryBackend):
    def scan(self, caller, bucket, prefix, after):
        entries = list(super().scan(caller, bucket, prefix, after))
        yield from sorted(entries, key=lambda entry: entry.key.encode("utf-16-be"))


class FoldsCase(MemoryBackend):
    def put_object(self, caller, bucket, key, *rest, **options):
        return super().put_object(caller, bucket, key.lower(), *rest, **options)

    def get_object(self, caller, bucket, key, *rest, **options):
        return super().get_object(caller, bucket, key.lower(), *rest, **options)


class RepeatsRevisions(MemoryBackend):
    def put_document(self, bucket, name, data, expected=ANY_REVISION):
        super().put_document(bucket, name, data, expected)
        documents = self._documents_of(bucket)
        revision = hashlib.md5(data).hexdigest()
        documents[name] = type(documents[name])(data, revision)
        return revision


class ComparesAndSwapsApart(MemoryBackend):
    def put_document(self, bucket, name, data, expected=ANY_REVISION):
        current = self.get_document(bucket, name)
        if expected != ANY_REVISION and (current.revision if current else None) != expected:
            return super().put_document(bucket, name, data, expected)
        time.sleep(0.001)
        return super().put_document(bucket, name, data)


class TakesAnyOption(MemoryBackend):
    def __init__(self, config):
        super().__init__(type(config)(directory=config.directory))
        self.config = config


class DeletesFullBuckets(MemoryBackend):
    def delete_bucket(self, caller, bucket):
        self._bucket(bucket)
        del self._buckets[bucket]


class LosesChanges(MemoryBackend):
    def update_object(self, caller, bucket, key, change):
        stored = self.get_object(caller, bucket, key)
        changed = OpenBytes(change(stored.record), stored.data)
        time.sleep(0.001)
        self._bucket(bucket).store(key, changed)
        return changed.record


class RenamesThingsAway(MemoryBackend):
    def rename_object(self, caller, bucket, source, target, *preconditions, **named):
        renamed = super().rename_object(caller, bucket, source, target, *preconditions, **named)
        self._bucket(bucket).remove(source)
        return renamed


class PagesOneTooMany(MemoryBackend):
    def list_objects(self, caller, bucket, query):
        page = super().list_objects(caller, bucket, query)
        last = page.objects[-1].key if page.objects else None
        return type(page)(page.objects, page.prefixes, page.next_after or last)


class KeepsDocumentsOfDeletedBuckets(MemoryBackend):
    def delete_bucket(self, caller, bucket):
        kept = self._bucket(bucket).documents
        super().delete_bucket(caller, bucket)
        self.kept = {**getattr(self, "kept", {}), bucket: kept}

    def create_bucket(self, caller, record):
        super().create_bucket(caller, record)
        self._bucket(record.name).documents = getattr(self, "kept", {}).get(record.name, {})


class DeclaresWhatItDoesNot(MemoryBackend):
    copy_object = MemoryBackend.__mro__[1].copy_object


class WrapsGuards(MemoryBackend):
    def delete_object(self, caller, bucket, key, precondition=ALWAYS):
        return super().delete_object(caller, bucket, key, Precondition(if_match=precondition.if_match))


class CompletesTwice(MemoryBackend):
    def complete_upload(self, caller, bucket, upload, parts, record, *rest, **options):
        published = super().complete_upload(caller, bucket, upload, parts, record, *rest, **options)
        return published.replace(modified=record.modified)


class KeepsPartsOfAborted(MemoryBackend):
    def put_part(self, caller, bucket, upload, number, source):
        try:
            return super().put_part(caller, bucket, upload, number, source)
        except NoSuchUpload:
            return source.record()


class MixesPartsUp(MemoryBackend):
    def complete_upload(self, caller, bucket, upload, parts, *rest, **options):
        in_time = sorted(parts, key=lambda part: part.modified)
        return super().complete_upload(caller, bucket, upload, in_time, *rest, **options)
