"""Section 1 of the protocol reference: numbers and types of the messages, and the stubs made from them."""

import tempfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor
from grpc_tools import protoc

from backends.eos.proto import console_pb2, generate, namespace_pb2

ROOT = Path(generate.__file__).resolve().parents[3]

# message -> fields as `name=number:type`, as the reference's table gives them.
TABLE = {
    "PingRequest": "authkey=1:string message=2:bytes",
    "PingReply": "message=1:bytes",
    "Time": "sec=1:uint64 n_sec=2:uint64",
    "Checksum": "value=1:bytes type=2:string",
    "FileMdProto": "id=1:uint64 cont_id=2:uint64 uid=3:uint64 gid=4:uint64 size=5:uint64 layout_id=6:uint32"
    " flags=7:uint32 name=8:bytes link_name=9:bytes ctime=10:Time mtime=11:Time checksum=12:Checksum"
    " locations=13:uint32[] unlink_locations=14:uint32[] xattrs=15:XattrsEntry[] path=16:bytes etag=17:string"
    " inode=18:uint64 checksums=19:Checksum[]",
    "ContainerMdProto": "id=1:uint64 parent_id=2:uint64 uid=3:uint64 gid=4:uint64 mode=5:uint32 tree_size=6:int64"
    " flags=7:uint32 name=8:bytes ctime=9:Time mtime=10:Time stime=11:Time xattrs=12:XattrsEntry[] path=13:bytes"
    " etag=14:string inode=15:uint64 files=16:uint64 containers=17:uint64",
    "RoleId": "uid=1:uint64 gid=2:uint64 username=3:string groupname=4:string app=5:string trace=6:string"
    " onbehalf=7:string",
    "MDId": "path=1:bytes id=2:fixed64 ino=3:fixed64 type=4:TYPE",
    "Limit": "zero=1:bool min=2:uint64 max=3:uint64",
    "MDSelection": "select=1:bool ctime=2:Limit mtime=3:Limit stime=4:Limit size=5:Limit treesize=6:Limit"
    " children=7:Limit locations=8:Limit unlinked_locations=9:Limit layoutid=10:uint64 flags=11:uint64"
    " symlink=12:bool checksum=13:Checksum owner=14:uint32 group=15:uint32 owner_root=16:bool group_root=17:bool"
    " regexp_filename=18:bytes regexp_dirname=19:bytes xattr=20:XattrEntry[]",
    "MDRequest": "type=1:TYPE id=2:MDId authkey=3:string role=4:RoleId selection=5:MDSelection",
    "MDResponse": "type=1:TYPE fmd=2:FileMdProto cmd=3:ContainerMdProto",
    "FindRequest": "type=1:TYPE id=2:MDId role=3:RoleId authkey=4:string maxdepth=5:uint64 selection=6:MDSelection",
    "NotificationRequest": "message=1:bytes",
    "NotificationResponse": "success=1:bool",
    "ShareAuth": "prot=1:string name=2:string host=3:string",
    "NsStatRequest": "authkey=1:string",
    "NsStatResponse": "code=1:int64 emsg=2:string state=3:string nfiles=4:uint64 ncontainers=5:uint64"
    " boot_time=6:uint64 current_fid=7:uint64 current_cid=8:uint64 mem_virtual=9:uint64 mem_resident=10:uint64"
    " mem_share=11:uint64 mem_growth=12:uint64 threads=13:uint64 fds=14:uint64 uptime=15:uint64",
    "ContainerInsertRequest": "container=1:ContainerMdProto[] authkey=2:string inherit_md=3:bool",
    "FileInsertRequest": "files=1:FileMdProto[] authkey=2:string",
    "InsertReply": "message=1:string[] retc=2:uint32[]",
    "QuotaProto": "path=1:bytes name=2:string type=3:QUOTATYPE usedbytes=4:uint64 usedlogicalbytes=5:uint64"
    " usedfiles=6:uint64 maxbytes=7:uint64 maxlogicalbytes=8:uint64 maxfiles=9:uint64 percentageusedbytes=10:float"
    " percentageusedfiles=11:float statusbytes=12:string statusfiles=13:string",
    "ShareProto": "permission=1:string expires=2:uint64 owner=3:string group=4:string generation=5:uint64"
    " path=6:string allowtree=7:bool vtoken=8:string origins=9:ShareAuth[]",
    "ShareToken": "token=1:ShareProto signature=2:bytes serialized=3:bytes seed=4:int32",
    "NSRequest": "authkey=1:string role=2:RoleId mkdir=21:MkdirRequest rmdir=22:RmdirRequest touch=23:TouchRequest"
    " unlink=24:UnlinkRequest rm=25:RmRequest rename=26:RenameRequest symlink=27:SymlinkRequest"
    " version=28:VersionRequest old_recycle=29:RecycleRequest xattr=30:SetXAttrRequest chown=31:ChownRequest"
    " chmod=32:ChmodRequest acl=33:AclRequest token=34:TokenRequest quota=35:QuotaRequest share=36:ShareRequest"
    " recycle=37:RecycleProto file=38:FileProto",
    "NSRequest.MkdirRequest": "id=1:MDId recursive=2:bool mode=3:int64",
    "NSRequest.RmdirRequest": "id=1:MDId",
    "NSRequest.TouchRequest": "id=1:MDId",
    "NSRequest.UnlinkRequest": "id=1:MDId norecycle=3:bool",
    "NSRequest.RmRequest": "id=1:MDId recursive=2:bool norecycle=3:bool noglobbing=4:bool",
    "NSRequest.RenameRequest": "id=1:MDId target=2:bytes",
    "NSRequest.SymlinkRequest": "id=1:MDId target=2:bytes",
    "NSRequest.VersionRequest": "id=1:MDId cmd=2:VERSION_CMD maxversion=3:int32 grabversion=4:string",
    "NSRequest.RecycleRequest": "key=1:string recycleId=2:string cmd=3:RECYCLE_CMD restoreflag=4:RestoreFlags"
    " purgedate=5:PurgeDate listflag=6:ListFlags",
    "NSRequest.RecycleRequest.RestoreFlags": "force=1:bool mkpath=2:bool versions=3:bool",
    "NSRequest.RecycleRequest.PurgeDate": "year=1:int32 month=2:int32 day=3:int32",
    "NSRequest.RecycleRequest.ListFlags": "maxentries=1:int32 year=2:int32 month=3:int32 day=4:int32 index=5:int32"
    " display=6:DISPLAY_TYPE display_val=7:string",
    "NSRequest.ShareRequest": "ls=1:LsShare op=2:OperateShare",
    "NSRequest.ShareRequest.LsShare": "outformat=1:OutFormat selection=2:string",
    "NSRequest.ShareRequest.OperateShare": "op=1:Op share=2:string acl=3:string path=4:string user=5:string"
    " group=6:string",
    "NSRequest.SetXAttrRequest": "id=1:MDId xattrs=2:XattrsEntry[] recursive=3:bool keystodelete=4:string[]"
    " create=5:bool",
    "NSRequest.ChownRequest": "id=1:MDId owner=2:RoleId",
    "NSRequest.ChmodRequest": "id=1:MDId mode=2:int64",
    "NSRequest.AclRequest": "id=1:MDId cmd=2:ACL_COMMAND recursive=3:bool type=4:ACL_TYPE rule=5:string"
    " position=6:uint32 sync_write=7:bool",
    "NSRequest.TokenRequest": "token=1:ShareToken",
    "NSRequest.QuotaRequest": "path=1:bytes id=2:RoleId op=3:QUOTAOP maxfiles=4:uint64 maxbytes=5:uint64"
    " entry=6:QUOTAENTRY",
    "NSResponse": "error=1:ErrorResponse version=2:VersionResponse recycle=3:RecycleResponse acl=4:AclResponse"
    " quota=5:QuotaResponse share=6:ShareResponse file=7:FileResponse",
    "NSResponse.ErrorResponse": "code=1:int64 msg=2:string",
    "NSResponse.VersionResponse": "code=1:int64 msg=2:string versions=3:VersionInfo[]",
    "NSResponse.RecycleResponse": "code=1:int64 msg=2:string recycles=3:RecycleInfo[]",
    "NSResponse.QuotaResponse": "code=1:int64 msg=2:string quotanode=3:QuotaProto[]",
    "NSResponse.ShareResponse": "code=1:int64 msg=2:string shares=3:ShareInfo[] access=4:ShareAccess[]",
    "NSResponse.FileResponse": "code=1:int64 msg=2:string",
    "NSResponse.VersionResponse.VersionInfo": "id=1:MDId mtime=2:Time",
    "NSResponse.RecycleResponse.RecycleInfo": "id=1:MDId owner=2:RoleId dtime=3:Time size=4:uint64"
    " type=5:DELETIONTYPE key=6:string",
    "NSResponse.AclResponse": "code=1:int64 msg=2:string rule=3:string",
}
ENUMS = {
    "TYPE": {"FILE": 0, "CONTAINER": 1, "LISTING": 2, "STAT": 3},
    "QUOTATYPE": {"USER": 0, "GROUP": 2, "PROJECT": 3},
    "QUOTAOP": {"GET": 0, "SET": 1, "RM": 2, "RMNODE": 3},
    "QUOTAENTRY": {"NONE": 0, "VOLUME": 1, "INODE": 2},
}
# enumeration -> its names, numbered from 0.
NESTED_ENUMS = {
    "NSRequest.VersionRequest.VERSION_CMD": "CREATE PURGE LIST GRAB CREATE_FOLDER",
    "NSRequest.RecycleRequest.RECYCLE_CMD": "RESTORE PURGE LIST",
    "NSRequest.AclRequest.ACL_COMMAND": "NONE MODIFY LIST",
    "NSRequest.AclRequest.ACL_TYPE": "USER_ACL SYS_ACL",
    "NSResponse.RecycleResponse.RecycleInfo.DELETIONTYPE": "FILE TREE",
}
PREFIX = "TYPE_"
TYPES = {value: name[len(PREFIX) :].lower() for name, value in vars(FieldDescriptor).items() if name.startswith(PREFIX)}


def described(field):
    kind = TYPES[field.type]
    if field.message_type is not None:
        kind = field.message_type.name
    elif field.enum_type is not None:
        kind = field.enum_type.name
    return f"{field.name}={field.number}:{kind}{'[]' if field.is_repeated else ''}"


def message(name):
    first, *rest = name.split(".")
    found = namespace_pb2.DESCRIPTOR.message_types_by_name[first]
    for part in rest:
        found = found.nested_types_by_name[part]
    return found


@pytest.mark.parametrize("name", TABLE)
def test_fields_have_the_numbers_and_types_of_the_table(name):
    assert [described(field) for field in message(name).fields] == TABLE[name].split()


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations_have_the_numbers_of_the_table(name):
    values = namespace_pb2.DESCRIPTOR.enum_types_by_name[name].values
    assert {value.name: value.number for value in values} == ENUMS[name]


@pytest.mark.parametrize("name", NESTED_ENUMS)
def test_enumerations_of_commands_have_the_numbers_of_the_table(name):
    owner, _, own = name.rpartition(".")
    assert [value.name for value in message(owner).enum_types_by_name[own].values] == NESTED_ENUMS[name].split()
    assert [value.number for value in message(owner).enum_types_by_name[own].values] == list(
        range(len(NESTED_ENUMS[name].split()))
    )


def test_every_message_is_in_the_table():
    assert set(namespace_pb2.DESCRIPTOR.message_types_by_name) == {name.partition(".")[0] for name in TABLE}


def test_service_and_methods_have_the_names_on_the_wire():
    service = namespace_pb2.DESCRIPTOR.services_by_name["Eos"]
    assert service.full_name == "eos.rpc.Eos"
    assert {method.name: method.server_streaming for method in service.methods} == {
        "Ping": False,
        "MD": True,
        "Find": True,
        "NsStat": False,
        "ContainerInsert": False,
        "FileInsert": False,
        "Exec": False,
        "Notify": False,
        "Notification": True,
    }
    assert not any(method.client_streaming for method in service.methods)


def test_console_messages_have_the_numbers_of_the_text():
    recycle = console_pb2.RecycleProto.DESCRIPTOR
    assert {field.name: field.number for field in recycle.fields} == {"ls": 1, "purge": 2, "restore": 3, "project": 5}
    fields = {field.name: field.number for field in console_pb2.FileProto.DESCRIPTOR.fields}
    assert fields.items() >= {"md": 1, "convert": 4, "copy": 5, "purge": 9, "version": 15, "rename": 20}.items()
    assert fields["touch"] == 23
    assert [described(field) for field in console_pb2.FileCopyProto.DESCRIPTOR.fields] == [
        "dst=1:string",
        "force=2:bool",
        "clone=3:bool",
        "silent=4:bool",
    ]


def test_a_known_request_has_the_bytes_that_the_numbers_give():
    request = namespace_pb2.MDRequest(
        type=namespace_pb2.STAT,
        id=namespace_pb2.MDId(path=b"/a", id=1),
        authkey="k",
        role=namespace_pb2.RoleId(uid=5, gid=6),
    )
    # 1: varint 3; 2: {1: "/a", 2: fixed64 1}; 3: "k"; 4: {1: 5, 2: 6}
    expected = "0803120d0a022f611101000000000000001a016b220408051006"
    assert request.SerializeToString(deterministic=True).hex() == expected


def test_a_success_without_a_code_still_has_its_sub_message_on_the_wire():
    reply = namespace_pb2.NSResponse()
    reply.error.SetInParent()
    assert reply.SerializeToString().hex() == "0a00"
    assert namespace_pb2.NSResponse.FromString(bytes.fromhex("0a00")).HasField("error")


@pytest.mark.parametrize("module", [namespace_pb2, console_pb2])
def test_the_committed_stubs_are_those_of_the_proto_files(module):
    source = module.DESCRIPTOR.name
    with tempfile.NamedTemporaryFile() as out:
        assert protoc.main(["protoc", f"-I{ROOT}", f"--descriptor_set_out={out.name}", source]) == 0
        made = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file[0]
    committed = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    made.ClearField("source_code_info")
    for text in (made, committed):
        for json_owner in _messages(text.message_type):
            for field in json_owner.field:
                field.ClearField("json_name")
    assert made == committed


def test_generating_writes_all_stubs(tmp_path):
    made = {path.name for path in generate.generate(tmp_path)}
    assert made == {
        "console_pb2.py",
        "console_pb2.pyi",
        "namespace_pb2.py",
        "namespace_pb2.pyi",
        "namespace_pb2_grpc.py",
    }


def _messages(messages):
    for one in messages:
        yield one
        yield from _messages(one.nested_type)
