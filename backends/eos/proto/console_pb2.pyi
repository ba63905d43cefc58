# mypy: ignore-errors
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TYPE(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE: _ClassVar[TYPE]
    CONTAINER: _ClassVar[TYPE]
    LISTING: _ClassVar[TYPE]
FILE: TYPE
CONTAINER: TYPE
LISTING: TYPE

class RecycleProto(_message.Message):
    __slots__ = ("ls", "purge", "restore", "project")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UID: _ClassVar[RecycleProto.Type]
        RID: _ClassVar[RecycleProto.Type]
        ALL: _ClassVar[RecycleProto.Type]
    UID: RecycleProto.Type
    RID: RecycleProto.Type
    ALL: RecycleProto.Type
    class LsProto(_message.Message):
        __slots__ = ("FullDetails", "NumericIds", "MonitorFmt", "Date", "Maxentries", "type", "RecycleId", "Path")
        FULLDETAILS_FIELD_NUMBER: _ClassVar[int]
        NUMERICIDS_FIELD_NUMBER: _ClassVar[int]
        MONITORFMT_FIELD_NUMBER: _ClassVar[int]
        DATE_FIELD_NUMBER: _ClassVar[int]
        MAXENTRIES_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        RECYCLEID_FIELD_NUMBER: _ClassVar[int]
        PATH_FIELD_NUMBER: _ClassVar[int]
        FullDetails: bool
        NumericIds: bool
        MonitorFmt: bool
        Date: str
        Maxentries: int
        type: RecycleProto.Type
        RecycleId: str
        Path: str
        def __init__(self, FullDetails: _Optional[bool] = ..., NumericIds: _Optional[bool] = ..., MonitorFmt: _Optional[bool] = ..., Date: _Optional[str] = ..., Maxentries: _Optional[int] = ..., type: _Optional[_Union[RecycleProto.Type, str]] = ..., RecycleId: _Optional[str] = ..., Path: _Optional[str] = ...) -> None: ...
    class PurgeProto(_message.Message):
        __slots__ = ("Date", "Key", "type", "RecycleId")
        DATE_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        RECYCLEID_FIELD_NUMBER: _ClassVar[int]
        Date: str
        Key: str
        type: RecycleProto.Type
        RecycleId: str
        def __init__(self, Date: _Optional[str] = ..., Key: _Optional[str] = ..., type: _Optional[_Union[RecycleProto.Type, str]] = ..., RecycleId: _Optional[str] = ...) -> None: ...
    class RestoreProto(_message.Message):
        __slots__ = ("ForceOrigName", "RestoreVersions", "MakePath", "Key")
        FORCEORIGNAME_FIELD_NUMBER: _ClassVar[int]
        RESTOREVERSIONS_FIELD_NUMBER: _ClassVar[int]
        MAKEPATH_FIELD_NUMBER: _ClassVar[int]
        KEY_FIELD_NUMBER: _ClassVar[int]
        ForceOrigName: bool
        RestoreVersions: bool
        MakePath: bool
        Key: str
        def __init__(self, ForceOrigName: _Optional[bool] = ..., RestoreVersions: _Optional[bool] = ..., MakePath: _Optional[bool] = ..., Key: _Optional[str] = ...) -> None: ...
    class ProjectProto(_message.Message):
        __slots__ = ("path", "acl")
        PATH_FIELD_NUMBER: _ClassVar[int]
        ACL_FIELD_NUMBER: _ClassVar[int]
        path: str
        acl: str
        def __init__(self, path: _Optional[str] = ..., acl: _Optional[str] = ...) -> None: ...
    LS_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    ls: RecycleProto.LsProto
    purge: RecycleProto.PurgeProto
    restore: RecycleProto.RestoreProto
    project: RecycleProto.ProjectProto
    def __init__(self, ls: _Optional[_Union[RecycleProto.LsProto, _Mapping]] = ..., purge: _Optional[_Union[RecycleProto.PurgeProto, _Mapping]] = ..., restore: _Optional[_Union[RecycleProto.RestoreProto, _Mapping]] = ..., project: _Optional[_Union[RecycleProto.ProjectProto, _Mapping]] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ("path", "id", "ino", "type")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INO_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    id: int
    ino: int
    type: TYPE
    def __init__(self, path: _Optional[bytes] = ..., id: _Optional[int] = ..., ino: _Optional[int] = ..., type: _Optional[_Union[TYPE, str]] = ...) -> None: ...

class FileCopyProto(_message.Message):
    __slots__ = ("dst", "force", "clone", "silent")
    DST_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    CLONE_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    dst: str
    force: bool
    clone: bool
    silent: bool
    def __init__(self, dst: _Optional[str] = ..., force: _Optional[bool] = ..., clone: _Optional[bool] = ..., silent: _Optional[bool] = ...) -> None: ...

class FileConvertProto(_message.Message):
    __slots__ = ("layout", "target_space", "placement_policy", "sync", "rewrite", "checksum")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    TARGET_SPACE_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_POLICY_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    layout: str
    target_space: str
    placement_policy: str
    sync: bool
    rewrite: bool
    checksum: str
    def __init__(self, layout: _Optional[str] = ..., target_space: _Optional[str] = ..., placement_policy: _Optional[str] = ..., sync: _Optional[bool] = ..., rewrite: _Optional[bool] = ..., checksum: _Optional[str] = ...) -> None: ...

class FilePurgeProto(_message.Message):
    __slots__ = ("purge_version",)
    PURGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    purge_version: int
    def __init__(self, purge_version: _Optional[int] = ...) -> None: ...

class FileSymlinkProto(_message.Message):
    __slots__ = ("target_path", "force")
    TARGET_PATH_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    target_path: bytes
    force: bool
    def __init__(self, target_path: _Optional[bytes] = ..., force: _Optional[bool] = ...) -> None: ...

class FileVersionProto(_message.Message):
    __slots__ = ("purge_version", "create_folder")
    PURGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_FOLDER_FIELD_NUMBER: _ClassVar[int]
    purge_version: int
    create_folder: bool
    def __init__(self, purge_version: _Optional[int] = ..., create_folder: _Optional[bool] = ...) -> None: ...

class FileVersionsProto(_message.Message):
    __slots__ = ("grab_version",)
    GRAB_VERSION_FIELD_NUMBER: _ClassVar[int]
    grab_version: str
    def __init__(self, grab_version: _Optional[str] = ...) -> None: ...

class FileShareProto(_message.Message):
    __slots__ = ("expires",)
    EXPIRES_FIELD_NUMBER: _ClassVar[int]
    expires: int
    def __init__(self, expires: _Optional[int] = ...) -> None: ...

class FileRenameProto(_message.Message):
    __slots__ = ("new_path",)
    NEW_PATH_FIELD_NUMBER: _ClassVar[int]
    new_path: str
    def __init__(self, new_path: _Optional[str] = ...) -> None: ...

class FileRenameWithSymlinkProto(_message.Message):
    __slots__ = ("destination_dir",)
    DESTINATION_DIR_FIELD_NUMBER: _ClassVar[int]
    destination_dir: str
    def __init__(self, destination_dir: _Optional[str] = ...) -> None: ...

class FileTouchProto(_message.Message):
    __slots__ = ("md", "nolayout", "truncate", "parents", "lockop", "lockop_lifetime", "wildcard", "hardlinkpath", "size", "checksuminfo", "absorb")
    MD_FIELD_NUMBER: _ClassVar[int]
    NOLAYOUT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATE_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    LOCKOP_FIELD_NUMBER: _ClassVar[int]
    LOCKOP_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    WILDCARD_FIELD_NUMBER: _ClassVar[int]
    HARDLINKPATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CHECKSUMINFO_FIELD_NUMBER: _ClassVar[int]
    ABSORB_FIELD_NUMBER: _ClassVar[int]
    md: Metadata
    nolayout: bool
    truncate: bool
    parents: bool
    lockop: str
    lockop_lifetime: str
    wildcard: str
    hardlinkpath: str
    size: int
    checksuminfo: str
    absorb: bool
    def __init__(self, md: _Optional[_Union[Metadata, _Mapping]] = ..., nolayout: _Optional[bool] = ..., truncate: _Optional[bool] = ..., parents: _Optional[bool] = ..., lockop: _Optional[str] = ..., lockop_lifetime: _Optional[str] = ..., wildcard: _Optional[str] = ..., hardlinkpath: _Optional[str] = ..., size: _Optional[int] = ..., checksuminfo: _Optional[str] = ..., absorb: _Optional[bool] = ...) -> None: ...

class FileProto(_message.Message):
    __slots__ = ("md", "convert", "copy", "purge", "symlink", "version", "versions", "share", "rename", "rename_with_symlink", "touch")
    MD_FIELD_NUMBER: _ClassVar[int]
    CONVERT_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    PURGE_FIELD_NUMBER: _ClassVar[int]
    SYMLINK_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    RENAME_WITH_SYMLINK_FIELD_NUMBER: _ClassVar[int]
    TOUCH_FIELD_NUMBER: _ClassVar[int]
    md: Metadata
    convert: FileConvertProto
    copy: FileCopyProto
    purge: FilePurgeProto
    symlink: FileSymlinkProto
    version: FileVersionProto
    versions: FileVersionsProto
    share: FileShareProto
    rename: FileRenameProto
    rename_with_symlink: FileRenameWithSymlinkProto
    touch: FileTouchProto
    def __init__(self, md: _Optional[_Union[Metadata, _Mapping]] = ..., convert: _Optional[_Union[FileConvertProto, _Mapping]] = ..., copy: _Optional[_Union[FileCopyProto, _Mapping]] = ..., purge: _Optional[_Union[FilePurgeProto, _Mapping]] = ..., symlink: _Optional[_Union[FileSymlinkProto, _Mapping]] = ..., version: _Optional[_Union[FileVersionProto, _Mapping]] = ..., versions: _Optional[_Union[FileVersionsProto, _Mapping]] = ..., share: _Optional[_Union[FileShareProto, _Mapping]] = ..., rename: _Optional[_Union[FileRenameProto, _Mapping]] = ..., rename_with_symlink: _Optional[_Union[FileRenameWithSymlinkProto, _Mapping]] = ..., touch: _Optional[_Union[FileTouchProto, _Mapping]] = ...) -> None: ...
