// SPDX-License-Identifier: Apache-2.0

package mkv

// ID is an EBML element ID with its length marker, as RFC 9559 prints it.
type ID uint32

// Element IDs that this package knows (RFC 9559, section 5.1; RFC 8794, section 11.2 and 11.3).
const (
	idEBML               ID = 0x1A45DFA3
	idEBMLVersion        ID = 0x4286
	idEBMLReadVersion    ID = 0x42F7
	idEBMLMaxIDLength    ID = 0x42F2
	idEBMLMaxSizeLength  ID = 0x42F3
	idDocType            ID = 0x4282
	idDocTypeVersion     ID = 0x4287
	idDocTypeReadVersion ID = 0x4285

	IDVoid  ID = 0xEC
	IDCRC32 ID = 0xBF

	idSegment     ID = 0x18538067
	IDSeekHead    ID = 0x114D9B74
	IDInfo        ID = 0x1549A966
	IDTracks      ID = 0x1654AE6B
	IDCluster     ID = 0x1F43B675
	IDCues        ID = 0x1C53BB6B
	IDAttachments ID = 0x1941A469
	IDChapters    ID = 0x1043A770
	IDTags        ID = 0x1254C367

	idSegmentUID    ID = 0x73A4
	idTimecodeScale ID = 0x2AD7B1
	idDuration      ID = 0x4489
	idTitle         ID = 0x7BA9
	idMuxingApp     ID = 0x4D80
	idWritingApp    ID = 0x5741

	idTrackEntry       ID = 0xAE
	idTrackNumber      ID = 0xD7
	idTrackUID         ID = 0x73C5
	idTrackType        ID = 0x83
	idTrackName        ID = 0x536E
	idCodecID          ID = 0x86
	idCodecPrivate     ID = 0x63A2
	idDefaultDuration  ID = 0x23E383
	idContentEncodings ID = 0x6D80
	idVideo            ID = 0xE0
	idPixelWidth       ID = 0xB0
	idPixelHeight      ID = 0xBA
	idAudio            ID = 0xE1
	idSamplingFreq     ID = 0xB5
	idChannels         ID = 0x9F
	idBitDepth         ID = 0x6264
	idCodecDelay       ID = 0x56AA
	idSeekPreRoll      ID = 0x56BB

	IDTimecode       ID = 0xE7
	IDPosition       ID = 0xA7
	IDPrevSize       ID = 0xAB
	IDSilentTracks   ID = 0x5854
	IDSimpleBlock    ID = 0xA3
	IDBlockGroup     ID = 0xA0
	IDEncryptedBlock ID = 0xAF
	idBlock          ID = 0xA1
	idBlockDuration  ID = 0x9B
	idReferenceBlock ID = 0xFB

	idTag       ID = 0x7373
	idSimpleTag ID = 0x67C8
	idTagName   ID = 0x45A3
	idTagString ID = 0x4487
)

// endsCluster tells whether id stands directly in a Segment or starts a file, and so ends a cluster of unknown size
// (RFC 8794, section 6.2). Void and CRC-32 are global and stay inside.
func endsCluster(id ID) bool {
	switch id {
	case idEBML, idSegment, IDSeekHead, IDInfo, IDTracks, IDCluster, IDCues, IDAttachments, IDChapters, IDTags:
		return true
	}
	return false
}

// passesThrough tells whether id is an element whose content does not matter here and whose size is unbounded by
// nature. Elements that nobody knows are bounded, so that garbage is not swallowed for ever.
func passesThrough(id ID) bool {
	switch id {
	case IDVoid, IDSeekHead, IDCues, IDAttachments, IDChapters:
		return true
	}
	return false
}

// inCluster tells whether id stands in clusters only.
func inCluster(id ID) bool {
	switch id {
	case IDTimecode, IDPosition, IDPrevSize, IDSilentTracks, IDSimpleBlock, IDBlockGroup, IDEncryptedBlock:
		return true
	}
	return false
}
